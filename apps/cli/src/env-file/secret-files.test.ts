import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, it } from "vitest";
import { parseEnvFile } from "./parse-env-file.ts";
import { renderFresh } from "./render-env-file.ts";
import { secretFileContents, secretsGroup, writeSecretFiles } from "./secret-files.ts";

const base = mkdtempSync(join(tmpdir(), "nexus-secrets-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));
afterEach(() => rmSync(join(base, "secrets"), { recursive: true, force: true }));
const directory = join(base, "secrets");
const values = parseEnvFile(renderFresh()).values;
const mayGive = process.getuid?.() === 0;

it("writes each secret into a file that nobody but its owner and the applications can read", () => {
  expect(writeSecretFiles(directory, values)).toBe(mayGive);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  for (const [name, content] of secretFileContents(values)) {
    const { mode, gid } = statSync(join(directory, name));
    expect(mode & 0o007, name).toBe(0);
    if (mayGive) expect([mode & 0o777, gid], name).toEqual([0o440, secretsGroup]);
    expect(readFileSync(join(directory, name), "utf8")).toBe(`${content}\n`);
  }
});

it("replaces what changed, leaves the rest, and leaves no other file behind", () => {
  writeSecretFiles(directory, values);
  const before = statSync(join(directory, "db_password")).ino;
  writeSecretFiles(directory, new Map([...values, ["JWT_SECRET", "another"]]));
  expect(readFileSync(join(directory, "jwt_secret"), "utf8")).toBe("another\n");
  expect(statSync(join(directory, "db_password")).ino).toBe(before);
  expect(readdirSync(directory).toSorted()).toEqual([...secretFileContents(values).keys()].toSorted());
});

it("gives Redis its password in the form of its configuration, whatever the password holds", () => {
  expect(secretFileContents(new Map([["REDIS_PASSWORD", 'a "b" \\c']])).get("redis_auth")).toBe(
    String.raw`requirepass "a \"b\" \\c"`,
  );
});
