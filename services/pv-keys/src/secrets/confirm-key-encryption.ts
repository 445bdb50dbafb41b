import { ConfigError } from "@nexus/config";
import type { Db } from "@nexus/db";
import type { KeyEncryption } from "./key-encryption.ts";
import { fingerprintsInUse, knownKeys, rememberKeys } from "./secrets.store.ts";

/** Whether the configured key-encryption keys open what is stored. Found out once; what fails is tried again. */
export interface KeyEncryptionCheck {
  /** @throws ConfigError naming fingerprints; any other error when it cannot be told at the moment */
  confirm(): Promise<void>;
}

export function keyEncryptionCheck(deps: { db: Db; keyEncryption: KeyEncryption | undefined }): KeyEncryptionCheck {
  let confirmed = false;
  return {
    confirm: async () => {
      if (confirmed) return;
      await confirmKeys(deps.db, deps.keyEncryption?.keys ?? []);
      confirmed = true;
    },
  };
}

/** Writes nothing before everything is known to fit. */
async function confirmKeys(db: Db, keys: KeyEncryption["keys"]): Promise<void> {
  const used = await fingerprintsInUse(db);
  const known = await knownKeys(db);
  refuseMissing(used, known, keys);
  refuseRenamed(known, keys);
  if (keys.length === 0) return;
  await rememberKeys(db, keys);
  refuseRenamed(await knownKeys(db), keys);
}

function refuseMissing(used: readonly string[], known: ReadonlyMap<string, string>, keys: KeyEncryption["keys"]): void {
  const missing = used.filter((fingerprint) => !keys.some((key) => key.fingerprint === fingerprint));
  if (missing.length === 0) return;
  const wanted = missing.map((fingerprint) => `${fingerprint} (${known.get(fingerprint) ?? "unknown"})`).join(", ");
  const ours = keys.map(({ fingerprint, name }) => `${fingerprint} (${name})`).join(", ") || "none";
  throw new ConfigError([
    `NEXUS_KEY_ENCRYPTION_KEYS lacks the key with the fingerprint ${wanted}, with which stored secrets are encrypted; it holds ${ours}`,
  ]);
}

/** A name that came to stand for another key would make every later message about it wrong. */
function refuseRenamed(known: ReadonlyMap<string, string>, keys: KeyEncryption["keys"]): void {
  const names = new Map(Array.from(known, ([fingerprint, name]) => [name, fingerprint]));
  const faults = keys
    .filter(({ name, fingerprint }) => (names.get(name) ?? fingerprint) !== fingerprint)
    .map(
      ({ name, fingerprint }) =>
        `NEXUS_KEY_ENCRYPTION_KEYS holds ${fingerprint} as ${name}, which was ${names.get(name)} in this database`,
    );
  if (faults.length > 0) throw new ConfigError(faults);
}
