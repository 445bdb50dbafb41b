import { envFields, secretFields } from "../env-file/env-fields.ts";
import { type Check, type Finding, pass, skip, verdict } from "./check.ts";
import type { Facts } from "./facts.ts";

const dataVolume = "postgres_data";

/** Before the first deployment there is no file to look at; that is no fault. */
function onValues(check: Omit<Check, "find">, faultsOf: (values: ReadonlyMap<string, string>) => string[]): Check {
  const find = ({ env }: Facts): Finding =>
    env ? verdict(faultsOf(env.file.values), `${env.file.values.size} variables looked at`) : skip("there is no .env.pf yet");
  return { ...check, find };
}

export const envChecks: readonly Check[] = [
  {
    id: "env.present",
    severity: "critical",
    title: ".env.pf is there, or there is no data yet",
    proves: "existing data can be read with the secrets it was written with",
    fix: "Restore .env.pf from your copy. Without it the database's passwords and the key peppers are lost.",
    find: ({ env, volumes }) => {
      if (env) return pass(".env.pf is there");
      if ("fault" in volumes) return pass("not there; the first deployment makes it");
      const hasData = volumes.value.some((name) => name.endsWith(dataVolume));
      return verdict(
        hasData ? [`there is no .env.pf, but the volume ${dataVolume} exists`] : [],
        "not there; the first deployment makes it",
      );
    },
  },
  {
    id: "env.readable",
    severity: "critical",
    title: "Every line of .env.pf is NAME=value, each name once",
    proves: "no value is cut or replaced in silence",
    fix: "Mend the named lines; put values with spaces or # in quotes.",
    find: ({ env }) => (env ? verdict(env.file.faults, "every line reads") : skip("there is no .env.pf yet")),
  },
  onValues(
    {
      id: "env.known-names",
      severity: "critical",
      title: ".env.pf holds no unknown name",
      proves: "no setting is misspelt and so without effect",
      fix: "Compare with .env.pf.example; remove or correct the name.",
    },
    (values) => {
      const known = new Set(envFields.map(({ name }) => name));
      return [...values.keys()].filter((name) => !known.has(name)).map((name) => `${name} is not known`);
    },
  ),
  onValues(
    {
      id: "env.complete",
      severity: "critical",
      title: "Every secret is set",
      proves: "each part can prove who it is",
      fix: "Make a value with: openssl rand -base64 32 | tr '+/' '-_' | tr -d '='",
    },
    (values) => [
      ...secretFields
        .filter(({ name, required, cameLater }) => required && !values.get(name) && !(cameLater && !values.has(name)))
        .map(({ name }) => `${name} is missing`),
      ...pairs
        .filter(([one, other]) => Boolean(values.get(one)) !== Boolean(values.get(other)))
        .map((pair) => `${pair.join(" and ")} go together`),
    ],
  ),
  onValues(
    {
      id: "env.values",
      severity: "critical",
      title: "Every setting has a value that can work",
      proves: "nothing starts with a port, origin or switch it cannot use",
      fix: "Correct the named settings; .env.pf.example says what each is for.",
    },
    (values) =>
      envFields.flatMap((field) => {
        const given = values.get(field.name);
        const fault = field.kind === "setting" && given ? field.refuse?.(given) : undefined;
        return fault ? [`${field.name} ${fault}`] : [];
      }),
  ),
  {
    id: "env.mode",
    severity: "critical",
    title: ".env.pf is readable by its owner alone",
    proves: "no other user of this machine can read the secrets",
    fix: "chmod 600 .env.pf",
    find: ({ env }) => {
      if (!env) return skip("there is no .env.pf yet");
      return verdict((env.mode & 0o077) === 0 ? [] : [`its mode is ${env.mode.toString(8)}`], "mode 600");
    },
  },
  {
    id: "env.not-committed",
    severity: "critical",
    title: "Git tracks neither .env.pf nor ./secrets",
    proves: "the secrets are in no clone",
    fix: "git rm --cached the named files, make every secret in them anew, and keep .env.pf and secrets/ in .gitignore.",
    find: ({ committed }) =>
      "fault" in committed
        ? skip(committed.fault)
        : verdict(
            committed.value.map((file) => `${file} is tracked`),
            "neither is tracked",
          ),
  },
];

const pairs: readonly [string, string][] = [
  ["OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET"],
  ["NEXUS_INIT_EMAIL", "NEXUS_INIT_PASSWORD"],
];
