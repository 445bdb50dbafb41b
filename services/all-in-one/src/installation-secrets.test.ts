import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { openInstallationSecrets, readInstallationSecret } from "./installation-secrets.ts";

const directory = mkdtempSync(join(tmpdir(), "nexus-installation-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

it("an installation of an older release gets the secrets that came later, and keeps its own", () => {
  const files = openInstallationSecrets(directory);
  const before = Object.fromEntries(Object.values(files).map((path) => [path, readFileSync(path, "utf8")]));
  expect(new Set(Object.values(before)).size).toBe(Object.values(files).length);
  rmSync(files.keyEncryptionKeys);
  expect(openInstallationSecrets(directory)).toEqual(files);
  for (const [path, content] of Object.entries(before)) {
    expect(readFileSync(path, "utf8") === content).toBe(path !== files.keyEncryptionKeys);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  }
  for (const path of [files.keyPeppers, files.keyEncryptionKeys]) expect(readInstallationSecret(path)).toMatch(/^1:[\w-]{43}$/);
});
