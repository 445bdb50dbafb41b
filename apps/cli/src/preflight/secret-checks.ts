import { isPublishedValue } from "@nexus/core";
import { secretFields } from "../env-file/env-fields.ts";
import { secretFileContents, secretsGroup, secretsMode } from "../env-file/secret-files.ts";
import { type Check, type Finding, skip, verdict } from "./check.ts";
import type { Facts, SecretFile } from "./facts.ts";

/** 32 random bytes in base64url have 43; a person's own may be shorter, but not guessable. */
const leastLength = 20;
const leastDifferent = 8;

/** Name and what of the value has to be secret, for every secret that is set. */
function secretsOf({ env }: Facts): { name: string; value: string }[] {
  return secretFields.flatMap(({ name, core = (value) => value }) => {
    const value = env?.file.values.get(name);
    return value ? [{ name, value: core(value) }] : [];
  });
}

function onSecrets(check: Omit<Check, "find">, faultsOf: (secrets: { name: string; value: string }[]) => string[]): Check {
  const find = (facts: Facts): Finding => {
    if (!facts.env) return skip("there is no .env.pf yet");
    const secrets = secretsOf(facts);
    return verdict(faultsOf(secrets), `${secrets.length} secrets looked at`);
  };
  return { ...check, find };
}

function onFiles(check: Omit<Check, "find">, faultsOf: (files: readonly SecretFile[], facts: Facts) => string[]): Check {
  const find = (facts: Facts): Finding => {
    if (!facts.secrets) return skip("there is no ./secrets yet");
    return verdict(faultsOf(facts.secrets.files, facts), `${facts.secrets.files.length} files looked at`);
  };
  return { ...check, find };
}

export const secretChecks: readonly Check[] = [
  {
    id: "secrets.published",
    severity: "critical",
    title: "No value was printed in a public document",
    proves: "nobody who read the documentation owns this installation",
    fix: "Make a new value for each named variable.",
    find: ({ env }) => {
      if (!env) return skip("there is no .env.pf yet");
      const found = [...env.file.values].filter(([, value]) => value !== "" && isPublishedValue(value));
      return verdict(
        found.map(([name]) => `${name} has a published value`),
        `${env.file.values.size} values looked at`,
      );
    },
  },
  onSecrets(
    {
      id: "secrets.weak",
      severity: "critical",
      title: `Secrets have at least ${leastLength} characters, ${leastDifferent} of them different`,
      proves: "no secret can be guessed",
      fix: "Make a value with: openssl rand -base64 32 | tr '+/' '-_' | tr -d '='",
    },
    (secrets) =>
      secrets
        // A person's own pass phrase is judged by puabo-api, which knows common ones.
        .filter(({ name }) => name !== "NEXUS_INIT_PASSWORD")
        .filter(({ value }) => value.length < leastLength || new Set(value).size < leastDifferent)
        .map(({ name }) => `${name} is too weak`),
  ),
  onSecrets(
    {
      id: "secrets.reused",
      severity: "critical",
      title: "Every secret is used once",
      proves: "what one service loses opens no other",
      fix: "Make a new value for all but one of them.",
    },
    (secrets) => {
      const users = Map.groupBy(secrets, ({ value }) => value);
      return [...users.values()]
        .filter((same) => same.length > 1)
        .map((same) => `${same.map(({ name }) => name).join(", ")} are the same`);
    },
  ),
  {
    id: "secrets.directory",
    severity: "critical",
    title: "./secrets opens to its owner alone",
    proves: "no other user of this machine can list or read the files",
    fix: "chmod 700 secrets",
    find: ({ secrets }) => {
      if (!secrets) return skip("there is no ./secrets yet");
      const { directoryMode: mode } = secrets;
      return verdict((mode & 0o077) === 0 ? [] : [`its mode is ${mode.toString(8)}`], "mode 700");
    },
  },
  onFiles(
    {
      id: "secrets.files",
      severity: "critical",
      title: `Secret files have mode 0${secretsMode.toString(8)} and the applications' group`,
      proves: "containers can read them and nobody else can",
      fix: "./deploy-pf.sh writes them anew from .env.pf.",
    },
    (files) =>
      files
        .filter(({ mode, group }) => mode !== secretsMode || group !== secretsGroup)
        .map(({ name, mode, group }) => `${name} has mode ${mode.toString(8)} and group ${group}`),
  ),
  onFiles(
    {
      id: "secrets.database-password",
      severity: "critical",
      title: "The owner's password is the one that the data was made with",
      proves: "PostgreSQL will accept it: after the first start the image ignores a new POSTGRES_PASSWORD",
      fix: "Put the old DB_PASSWORD back; or change it in the database with ALTER ROLE nexus_user, and in secrets/db_password, first.",
    },
    (files, { env, volumes }) => {
      const hasData = "value" in volumes && volumes.value.some((name) => name.endsWith("postgres_data"));
      const before = files.find(({ name }) => name === "db_password")?.content.trimEnd();
      const now = env && secretFileContents(env.file.values).get("db_password");
      return hasData && before && now && before !== now ? ["DB_PASSWORD was changed in .env.pf after the database was made"] : [];
    },
  ),
];
