import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { envFields, secretFields } from "./env-fields.ts";
import { parseEnvFile } from "./parse-env-file.ts";
import { renderExample, renderFresh } from "./render-env-file.ts";

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
