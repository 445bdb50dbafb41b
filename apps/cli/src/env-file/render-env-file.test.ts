import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { envFields, secretFields } from "./env-fields.ts";
import { parseEnvFile } from "./parse-env-file.ts";
import { addLaterSecrets, renderExample, renderFresh } from "./render-env-file.ts";

const seedNames =
  "NODE_ENV PORT DB_HOST DB_PORT DB_NAME DB_USER DB_PASSWORD REDIS_HOST REDIS_PORT OAUTH_CLIENT_ID OAUTH_CLIENT_SECRET JWT_SECRET";

describe(".env.pf.example", () => {
  const example = parseEnvFile(renderExample()).values;

  it("is the file in the repository", () => {
    expect(readFileSync(join(import.meta.dirname, "../../../../.env.pf.example"), "utf8")).toBe(renderExample());
  });

  it("keeps every name of the architecture document", () => {
    expect([...example.keys()]).toEqual(expect.arrayContaining(seedNames.split(" ")));
  });

  it("holds no secret", () => {
    for (const { name } of secretFields) expect(example.get(name), name).toBe("");
  });
});

it("every log level of the services is accepted, and another is told all of them", () => {
  const page = readFileSync(join(import.meta.dirname, "../../../../docs/configuration.md"), "utf8");
  const row = /^\| `NEXUS_LOG_LEVEL` .*One of (.*)\. \|$/m.exec(page)?.[1] ?? "";
  const levels = [...row.matchAll(/`(\w+)`/g)].map(([, level = ""]) => level);
  expect(levels).toContain("info");
  const field = envFields.find(({ name }) => name === "NEXUS_LOG_LEVEL");
  for (const level of levels) expect(field?.kind === "setting" && field.refuse?.(level), level).toBeUndefined();
  expect(field?.kind === "setting" && field.refuse?.("loud")).toBe(`must be one of ${levels.join(", ")}`);
});

describe("a fresh .env.pf", () => {
  it("has a new value for every secret that has to be there, each different, each time", () => {
    const [one, other] = [renderFresh(), renderFresh()].map((text) => parseEnvFile(text).values);
    const required = secretFields.filter((field) => field.required).map(({ name }) => name);
    const made = required.flatMap((name) => [one?.get(name) ?? "", other?.get(name) ?? ""]);
    for (const value of made) expect(value.length).toBeGreaterThanOrEqual(43);
    expect(new Set(made).size).toBe(2 * required.length);
  });

  it("has only settings that their own rules accept", () => {
    const { values, faults } = parseEnvFile(renderFresh());
    expect(faults).toEqual([]);
    for (const field of envFields) {
      const value = values.get(field.name);
      if (field.kind === "setting" && value) expect(field.refuse?.(value), field.name).toBeUndefined();
    }
  });
});

describe("the .env.pf of an older release", () => {
  const later = secretFields.filter((field) => field.cameLater).map(({ name }) => name);
  const current = renderFresh();
  const older = current.replaceAll(new RegExp(`^(?:${later.join("|")})=.*\n`, "gm"), "");

  it("gets the secrets that came later, and keeps every byte that it had", () => {
    expect(later).toContain("NEXUS_KEY_ENCRYPTION_KEYS");
    const updated = addLaterSecrets(older);
    expect(updated?.startsWith(older.trimEnd())).toBe(true);
    const { values, faults } = parseEnvFile(updated ?? "");
    expect(faults).toEqual([]);
    for (const name of later) expect(values.get(name)).toMatch(/^1:[\w-]{43}$/);
  });

  it("is left alone when nothing is missing, and where somebody emptied a value on purpose", () => {
    expect(addLaterSecrets(current)).toBeUndefined();
    expect(addLaterSecrets(`${older}${later.map((name) => `${name}=\n`).join("")}`)).toBeUndefined();
  });
});
