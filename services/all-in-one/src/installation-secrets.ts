/** The secrets of one installation: made at the first start, kept in files that only their owner can read. */
import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const names = {
  ownerPassword: "db_owner_password",
  apiPassword: "db_nexus_api_password",
  aiPassword: "db_nexus_ai_password",
  keysPassword: "db_nexus_keys_password",
  jwtSecret: "jwt_secret",
  keyPeppers: "key_peppers",
  keyEncryptionKeys: "key_encryption_keys",
  auditKey: "audit_key",
  apiToken: "token_puabo_api",
  aiToken: "token_puaboai_sdk",
  keysToken: "token_pv_keys",
} as const;

/** Their files hold `version:secret`. */
const versioned: ReadonlySet<string> = new Set<keyof typeof names>(["keyPeppers", "keyEncryptionKeys"]);

/** Paths of the secret files by use. */
export type SecretFiles = Record<keyof typeof names, string>;

export function openInstallationSecrets(dataDirectory: string): SecretFiles {
  const directory = join(dataDirectory, "secrets");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const files = Object.entries(names).map(([use, name]) => {
    const path = join(directory, name);
    // A use that came with an update is missing in an older installation, and made now.
    if (!existsSync(path)) writeNew(path, versioned.has(use) ? `1:${fresh()}` : fresh());
    return [use, path];
  });
  return Object.fromEntries(files) as SecretFiles;
}

/**
 * A random name for this installation's database folder. As root the files may lie outside the data folder, in a place that
 * is found by its path; with a name of its own, whoever deletes the data folder to begin anew does not meet the old database.
 */
export function installationId(dataDirectory: string): string {
  const path = join(dataDirectory, "installation");
  if (!existsSync(path)) writeNew(path, randomBytes(4).toString("hex"));
  return readInstallationSecret(path);
}

export function readInstallationSecret(path: string): string {
  return readFileSync(path, "utf8").trim();
}

function fresh(): string {
  return randomBytes(32).toString("base64url");
}

/** Written beside and renamed: a process killed in the middle leaves no half secret that a database was set up with. */
function writeNew(path: string, content: string): void {
  const beside = `${path}.new`;
  writeFileSync(beside, `${content}\n`, { mode: 0o600 });
  chmodSync(beside, 0o600);
  renameSync(beside, path);
}
