import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { flag, integer, oneOf, optional, port, secret, text, url } from "./fields.ts";
import { ConfigError, loadConfig } from "./load-config.ts";

const schema = {
  PORT: port({ doc: "Where it listens.", default: 4000 }),
  WORKERS: integer({ doc: "How many.", default: 1, min: 1, max: 8 }),
  MODE: oneOf({ doc: "Which.", default: "closed", values: ["open", "closed"] }),
  VERBOSE: flag({ doc: "Whether.", default: false }),
  NAME: text({ doc: "Who." }),
  HOME_URL: optional(url({ doc: "Whither." })),
  SIGNING_SECRET: secret({ doc: "Signs.", minLength: 32 }),
};
const good = { NAME: "nexus", SIGNING_SECRET: "x".repeat(40) };

function faultsOf(env: Record<string, string>): readonly string[] {
  try {
    loadConfig(schema, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

describe("loadConfig", () => {
  it("gives typed values and the defaults of what is absent or empty", () => {
    const config = loadConfig(schema, { ...good, WORKERS: "3", VERBOSE: "true", MODE: "" });
    expect(config).toEqual({
      PORT: 4000,
      WORKERS: 3,
      MODE: "closed",
      VERBOSE: true,
      NAME: "nexus",
      HOME_URL: undefined,
      SIGNING_SECRET: good.SIGNING_SECRET,
    });
    expect(Object.isFrozen(config)).toBe(true);
  });

  it("reports every bad value at once, by name", () => {
    const faults = faultsOf({
      PORT: "70000",
      WORKERS: "1.5",
      MODE: "ajar",
      VERBOSE: "yes",
      HOME_URL: "ftp://x",
      SIGNING_SECRET: "short",
    });
    expect(faults.map((fault) => fault.split(" ")[0])).toEqual([
      "PORT",
      "WORKERS",
      "MODE",
      "VERBOSE",
      "NAME",
      "HOME_URL",
      "SIGNING_SECRET",
    ]);
  });

  it("never repeats the value of a secret", () => {
    const value = "hunter2-hunter2";
    expect(faultsOf({ NAME: "n", SIGNING_SECRET: value }).join()).not.toContain(value);
  });

  it("refuses secrets that stand in public documents", () => {
    expect(faultsOf({ NAME: "n", SIGNING_SECRET: "changeme" })[0]).toContain("public document");
  });

  it("reads a secret from a mounted file, without its last line break", () => {
    const path = join(mkdtempSync(join(tmpdir(), "config-")), "secret");
    writeFileSync(path, `${"y".repeat(40)}\n`);
    expect(loadConfig(schema, { NAME: "n", SIGNING_SECRET_FILE: path }).SIGNING_SECRET).toBe("y".repeat(40));
    expect(faultsOf({ ...good, SIGNING_SECRET_FILE: path })[0]).toContain("both set");
    expect(faultsOf({ NAME: "n", SIGNING_SECRET_FILE: `${path}.absent` })[0]).toContain("ENOENT");
  });

  it("reports faults among several fields together with faulty ones", () => {
    const rules = (config: { PORT: number }): string[] => (config.PORT === 4000 ? ["PORT must differ"] : []);
    expect(() => loadConfig(schema, { ...good, WORKERS: "x" }, rules)).toThrow(/WORKERS[^]*PORT must differ/);
  });

  it("leaves out rules that need a faulty field without a default", () => {
    const rules = (config: { NAME: string }): string[] => [`NAME ${config.NAME} is not free`];
    expect(() => loadConfig(schema, { SIGNING_SECRET: good.SIGNING_SECRET }, rules)).toThrow(
      /^(?![^]*not free)[^]*NAME is required/,
    );
    expect(() => loadConfig(schema, good, rules)).toThrow("NAME nexus is not free");
  });
});
