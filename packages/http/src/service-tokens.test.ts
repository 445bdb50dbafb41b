import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, loadConfig } from "@nexus/config";
import { describe, expect, it } from "vitest";
import { loadServiceTokens, serviceTokenFields } from "./service-tokens.ts";

const directory = mkdtempSync(join(tmpdir(), "nexus-tokens-"));
function file(name: string, content: string): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}
const [own, one, two, next] = ["o", "a", "b", "c"].map((letter) => letter.repeat(40)) as [string, string, string, string];
const ownFile = file("own", `${own}\n`);
const oneFile = file("one", one);
const twoFile = file("two", two);

function faultsOf(env: Record<string, string>): readonly string[] {
  try {
    loadConfig(serviceTokenFields, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
  }
  return [];
}

describe("service tokens", () => {
  it("name the caller whose token is presented, and nobody for another", () => {
    const env = { NEXUS_SERVICE_TOKEN_FILE: ownFile, NEXUS_CALLER_TOKEN_FILES: `puabo-api=${oneFile}, puaboai-sdk=${twoFile}` };
    const tokens = loadServiceTokens(loadConfig(serviceTokenFields, env));
    expect(tokens.own).toBe(own);
    expect(tokens.callerOf(one)).toBe("puabo-api");
    expect(tokens.callerOf(two)).toBe("puaboai-sdk");
    for (const wrong of ["", one.slice(1), `${one}x`, own, "x".repeat(1_000_000)]) expect(tokens.callerOf(wrong)).toBeUndefined();
  });

  it("a caller may have two while its token is changed", () => {
    const env = {
      NEXUS_SERVICE_TOKEN_FILE: ownFile,
      NEXUS_CALLER_TOKEN_FILES: `puabo-api=${oneFile},puabo-api=${file("next", next)}`,
    };
    const tokens = loadServiceTokens(loadConfig(serviceTokenFields, env));
    expect([tokens.callerOf(one), tokens.callerOf(next)]).toEqual(["puabo-api", "puabo-api"]);
  });

  it("nobody may call when no files are named", () => {
    const tokens = loadServiceTokens(loadConfig(serviceTokenFields, { NEXUS_SERVICE_TOKEN_FILE: ownFile }));
    expect(tokens.callerOf(own)).toBeUndefined();
  });

  it("every fault of both variables is reported before anything starts, and no token is printed", () => {
    const short = file("short", "abc123");
    const faults = faultsOf({
      NEXUS_SERVICE_TOKEN_FILE: join(directory, "nowhere"),
      NEXUS_CALLER_TOKEN_FILES: `puabo-api=${short}`,
    });
    expect(faults).toHaveLength(2);
    expect(faults[0]).toMatch(/^NEXUS_SERVICE_TOKEN_FILE .*cannot be read \(ENOENT\)/);
    expect(faults[1]).toMatch(/^NEXUS_CALLER_TOKEN_FILES .*fewer than 32 characters/);
    expect(faults.join()).not.toContain("abc123");
  });

  it.each([
    ["a directory", directory, "EISDIR"],
    ["a published value", file("published", ["nexus-cos-secret-key", "2024-secure"].join("-")), "public document"],
    ["characters that no header can carry", file("binary", `${"a".repeat(40)}\u00e9 x`), "no header"],
  ])("%s is refused", (_name, path, said) => {
    expect(faultsOf({ NEXUS_SERVICE_TOKEN_FILE: path })[0]).toContain(said);
  });

  it.each([
    ["no name", oneFile],
    ["no path", "puabo-api="],
    ["two callers with one token", `puabo-api=${oneFile},puaboai-sdk=${oneFile}`],
  ])("a list with %s is refused", (_name, list) => {
    expect(faultsOf({ NEXUS_SERVICE_TOKEN_FILE: ownFile, NEXUS_CALLER_TOKEN_FILES: list })).toHaveLength(1);
  });
});
