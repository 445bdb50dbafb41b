import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";

/**
 * The real tools with their real configuration on a small workspace: two packages of this repository.
 * Each test plants one fault in a copy and sees the check name the file.
 */
const root = resolve(import.meta.dirname, "..");
const kept = ["core", "config"];
const base = mkdtempSync(join(tmpdir(), "nexus-checks-"));
let copies = 0;

afterAll(() => rmSync(base, { recursive: true, force: true }));

function copyWorkspace(): string {
  const copy = join(base, String(++copies));
  mkdirSync(copy);
  for (const name of [".oxlintrc.json", ".oxfmtrc.json", "knip.jsonc", "tsconfig.base.json", ".editorconfig"]) {
    cpSync(join(root, name), join(copy, name));
  }
  cpSync(join(root, "tools"), join(copy, "tools"), {
    recursive: true,
    filter: (path) => !/\.test\.ts$|write-[a-z-]+\.ts$|\/prices$/.test(path),
  });
  writeJson(join(copy, "tools/tsconfig.json"), { ...readJson(join(root, "tools/tsconfig.json")), references: [] });
  for (const name of kept) cpSync(join(root, "packages", name), join(copy, "packages", name), { recursive: true });
  writeJson(join(copy, "package.json"), { ...readJson(join(root, "package.json")), workspaces: ["packages/*", "tools/pinned"] });
  const references = kept.flatMap((name) => [{ path: `packages/${name}` }, { path: `packages/${name}/tsconfig.test.json` }]);
  writeJson(join(copy, "tsconfig.json"), { files: [], references: [...references, { path: "tools" }] });
  linkModules(copy);
  return copy;
}

/** The installed packages, but with the workspace's own names pointing into the copy. */
function linkModules(copy: string): void {
  const modules = join(copy, "node_modules");
  mkdirSync(join(modules, "@nexus"), { recursive: true });
  for (const name of readdirSync(join(root, "node_modules"))) {
    if (name !== "@nexus" && name !== ".cache") symlinkSync(join(root, "node_modules", name), join(modules, name));
  }
  for (const name of kept) symlinkSync(join(copy, "packages", name), join(modules, "@nexus", name));
}

const readJson = (path: string): Record<string, unknown> => JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
const writeJson = (path: string, value: unknown): void => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);

function check(copy: string, only: string[] = []): { status: number | null; output: string } {
  const args = only.length > 0 ? ["--only", only.join(",")] : [];
  const { status, stdout, stderr } = spawnSync(process.execPath, ["tools/check.ts", ...args], {
    cwd: copy,
    encoding: "utf8",
    env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env["PATH"]}` },
  });
  return { status, output: stdout + stderr };
}

/** Plants `text` at the end of a file, makes the file where it is missing, and expects the named check to fail over it. */
function expectCaught(name: string, file: string, text: string, complaint: string | RegExp): void {
  const copy = copyWorkspace();
  plant(copy, file, text);
  const { status, output } = check(copy, [name]);
  expect(output).toContain(`FAILED  ${name}`);
  expect(output).toContain(file);
  expect(output).toMatch(complaint);
  expect(status).toBe(1);
}

function plant(copy: string, file: string, text: string): void {
  mkdirSync(dirname(join(copy, file)), { recursive: true });
  if (existsSync(join(copy, file))) appendFileSync(join(copy, file), text);
  else writeFileSync(join(copy, file), text);
}

const inConfig = "packages/config/src/planted.ts";
/** Assembled, so that this file does not hold what the check looks for. */
const published = ["Momoney", "2025$"].join("");

describe("npm run check", { timeout: 120_000 }, () => {
  it("passes on a clean workspace", () => {
    const { status, output } = check(copyWorkspace());
    expect(output).not.toContain("FAILED");
    expect(status).toBe(0);
  });

  it("refuses a run in which no check was chosen", () => {
    expect(check(copyWorkspace(), ["no-such-check"]).status).toBe(1);
  });

  it("sees a type error", () => {
    expectCaught("types", "packages/core/src/money.ts", "export const wrong: number = 'one';\n", "TS2322");
  });

  it("sees a type error in a test", () => {
    expectCaught("types", "packages/core/src/money.test.ts", "export const wrong: number = 'one';\n", "TS2322");
  });

  it.each([
    [
      "a promise that nobody waits for",
      "export function start(): void {\n  Promise.resolve(1).then(String);\n}\n",
      "no-floating-promises",
    ],
    ["any", "export const loose = (value: any): string => String(value);\n", "no-explicit-any"],
    [
      "an assertion that a value is there",
      "export const first = (list: string[]): string => list[0]!;\n",
      "no-non-null-assertion",
    ],
    [
      "a type import that does not say so",
      'import { Field } from "./fields.ts";\nexport const keep = (f: Field<string>): string => f.doc;\n',
      "consistent-type-imports",
    ],
    ["process outside main.ts", "export const home = process.cwd();\n", "no-restricted-globals"],
    ["a technology outside its owner", 'import { Pool } from "pg";\nexport const pool = new Pool();\n', "packages/db owns pg"],
    ["Fastify outside http", 'import { fastify } from "fastify";\nexport const app = fastify();\n', "packages/http owns fastify"],
    ["a default export", "export default 1;\n", "no-default-export"],
    [
      "a function of more than 60 lines",
      `export function long(): void {\n${"  JSON.stringify(1);\n".repeat(61)}}\n`,
      "max-lines-per-function",
    ],
    ["a file of more than 300 lines", "export {};\n".repeat(301), "max-lines"],
  ])("lint sees %s", (_what, text, rule) => {
    expectCaught("lint", inConfig, text, rule);
  });

  it("lint knows the types of a test file", () => {
    expectCaught(
      "lint",
      "packages/config/src/planted.test.ts",
      "export function start(): void {\n  Promise.resolve(1).then(String);\n}\n",
      "no-floating-promises",
    );
  });

  it("sees an unformatted file", () => {
    expectCaught("format", inConfig, "export const a   = 1\n", "Format issues");
  });

  it("sees imports out of order", () => {
    expectCaught(
      "format",
      inConfig,
      'import { url } from "./fields.ts";\nimport { join } from "node:path";\n\nexport const x = [join, url];\n',
      "Format issues",
    );
  });

  it("sees a dead file", () => {
    expectCaught("dead-code", inConfig, "export const unused = 1;\n", "Unused files");
  });

  it("sees a dead export", () => {
    expectCaught("dead-code", "packages/config/src/fields.ts", "export const nobodyTakesThis = 1;\n", "nobodyTakesThis");
  });

  it("sees an export that only a test uses", () => {
    const copy = copyWorkspace();
    plant(copy, "packages/core/src/base62.ts", "export const forTestsOnly = 1;\n");
    plant(
      copy,
      "packages/core/src/planted.test.ts",
      'import { forTestsOnly } from "./base62.ts";\n\nexport const x = forTestsOnly;\n',
    );
    expect(check(copy, ["dead-code"]).output).toContain("forTestsOnly");
  });

  it("sees a dependency that nobody imports", () => {
    const copy = copyWorkspace();
    const manifest = join(copy, "packages/config/package.json");
    writeJson(manifest, { ...readJson(manifest), dependencies: { "@nexus/core": "*", undici: "8.12.4" } });
    const { status, output } = check(copy, ["dead-code"]);
    expect(output).toMatch(/undici\s+packages\/config\/package\.json/);
    expect(status).toBe(1);
  });

  it("sees a dependency of tests that no test imports", () => {
    const copy = copyWorkspace();
    const manifest = join(copy, "packages/config/package.json");
    writeJson(manifest, { ...readJson(manifest), devDependencies: { undici: "8.12.4" } });
    const { status, output } = check(copy, ["dead-test-code"]);
    expect(output).toMatch(/undici\s+packages\/config\/package\.json/);
    expect(status).toBe(1);
  });

  it("sees a generated file that its program would write otherwise", () => {
    const copy = copyWorkspace();
    plant(
      copy,
      "tools/write-schema.ts",
      'if (process.argv.includes("--check")) throw new Error("database/schema.sql differs");\n',
    );
    const { status, output } = check(copy, ["generated:schema"]);
    expect(output).toContain("database/schema.sql differs");
    expect(status).toBe(1);
  });

  it("sees a shell script that the shell cannot read", () => {
    expectCaught("shell", "deploy/planted.sh", "#!/bin/sh\nif true; then\n", "Syntax error");
  });

  it("sees a shell script that names no shell", () => {
    expectCaught("shell", "deploy/planted.sh", "echo hello\n", "neither sh nor bash");
  });
});

describe("a check that sees nothing", { timeout: 120_000 }, () => {
  it.each(["lint", "format", "boundaries"])("%s fails where there is no file", (name) => {
    const copy = copyWorkspace();
    rmSync(join(copy, "packages"), { recursive: true });
    mkdirSync(join(copy, "packages/core/src"), { recursive: true });
    cpSync(join(root, "packages/core/src/published-values.ts"), join(copy, "packages/core/src/published-values.ts"));
    // The tools themselves must not count: they are what looks.
    writeFileSync(join(copy, ".oxlintrc.json"), '{ "options": { "typeAware": true }, "ignorePatterns": ["**"] }\n');
    writeFileSync(join(copy, ".oxfmtrc.json"), '{ "ignorePatterns": ["**"] }\n');
    const { status, output } = check(copy, [name]);
    expect(output).toContain(`FAILED  ${name}`);
    expect(status).toBe(1);
  });
});

describe("boundaries", { timeout: 120_000 }, () => {
  const undeclared = 'import { Type } from "typebox";\n\nexport const x = Type;\n';

  it.each([
    ["an undeclared import", inConfig, undeclared, "typebox is not declared in packages/config/package.json"],
    ["an undeclared dynamic import", inConfig, 'export const x = import("typebox");\n', "typebox is not declared"],
    ["an undeclared re-export", inConfig, 'export { Type } from "typebox";\n', "typebox is not declared"],
    ["an undeclared import in a test", "packages/config/src/planted.test.ts", undeclared, "typebox is not declared"],
    [
      "an import from a row above",
      "packages/core/src/planted.ts",
      'export * from "@nexus/config";\n',
      "packages/core may not import packages/config",
    ],
    ["a path into another package", inConfig, 'export * from "../../core/src/index.ts";\n', "leaves packages/config"],
    [
      "the store of another feature",
      "packages/config/src/keys/planted.ts",
      'export * from "../accounts/accounts.store.ts";\n',
      "store of another feature",
    ],
    ["process.env outside main.ts", inConfig, "export const x = process.env;\n", "only main.ts touches process"],
    ["process through globalThis", inConfig, "export const x = globalThis.process.pid;\n", "only main.ts touches process"],
    [
      "process as an import",
      inConfig,
      'import { env } from "node:process";\n\nexport const x = env;\n',
      "only main.ts touches process",
    ],
    ["a published secret in code", inConfig, `export const x = "${published}";\n`, "holds the published value"],
    ["a published secret in any other file", "deploy/some.yml", `password: ${published}\n`, "holds the published value"],
  ])("refuse %s", (_what, file, text, complaint) => {
    expectCaught("boundaries", file, text, complaint);
  });

  it("refuse a reference that package.json does not declare, and the other way round", () => {
    const copy = copyWorkspace();
    const tsconfig = join(copy, "packages/config/tsconfig.json");
    writeJson(tsconfig, { ...readJson(tsconfig), references: [{ path: "../telemetry" }] });
    const { output, status } = check(copy, ["boundaries"]);
    expect(output).toContain("packages/config/tsconfig.json: references packages/telemetry, which package.json does not declare");
    expect(output).toContain("packages/config/tsconfig.json: does not reference packages/core, which package.json declares");
    expect(status).toBe(1);
  });

  it("refuse a project that the root does not compile", () => {
    const copy = copyWorkspace();
    writeJson(join(copy, "tsconfig.json"), { files: [], references: [{ path: "packages/core" }] });
    expect(check(copy, ["boundaries"]).output).toContain("does not reference packages/config, so nobody compiles it");
  });

  it("refuse a folder of code that has no place in the drawing", () => {
    const copy = copyWorkspace();
    cpSync(join(copy, "packages/config"), join(copy, "packages/helpers"), { recursive: true });
    expect(check(copy, ["boundaries"]).output).toContain("packages/helpers: has no place");
  });
});
