import { type Db, inTransaction } from "@nexus/db";
import { CannotOpen, findKey, type KeyEncryption, type KeyEncryptionKey } from "./key-encryption.ts";
import { addProgress, lockBatch, markFailed, type RewrapRow, storeRewrapped, type WrappedKey } from "./rewraps.store.ts";
import { rewrapKey } from "./sealed-value.ts";

/** Few enough that a KMS is through with them while their rows are locked. */
const batchSize = 20;

/**
 * Rewraps some data keys and counts them, all or nothing: a process that dies in the middle has done none of them.
 * Values are not touched.
 * @returns how many were looked at; 0: none is left that this process could take
 * @throws what a KMS throws that is away
 */
export async function rewrapBatch(db: Db, encryption: KeyEncryption, rewrap: RewrapRow, to: KeyEncryptionKey): Promise<number> {
  return await inTransaction(db, async (tx) => {
    const held = encryption.keys.map(({ fingerprint }) => fingerprint);
    const rows = await lockBatch(tx, { rewrapId: rewrap.id, to: to.fingerprint, held, limit: batchSize });
    if (rows.length === 0) return 0;
    const results = await Promise.all(rows.map((row) => rewrapOne(encryption, row, to)));
    const done = results.filter(({ wrappedKey }) => wrappedKey !== undefined);
    const failed = results.filter(({ wrappedKey }) => wrappedKey === undefined);
    await storeRewrapped(
      tx,
      to.fingerprint,
      done.flatMap(({ wrappedKey, ...place }) => (wrappedKey ? [{ ...place, wrappedKey }] : [])),
    );
    await markFailed(tx, rewrap.id, failed);
    const counted = await addProgress(tx, rewrap.id, { done: done.length, failed: failed.length });
    if (!counted) throw new Error("the rewrapping ended meanwhile");
    return rows.length;
  });
}

async function rewrapOne(encryption: KeyEncryption, row: WrappedKey, to: KeyEncryptionKey) {
  const { secret_id: secretId, version, organization_id: organizationId } = row;
  const from = findKey(encryption, row.wrapped_by);
  if (!from) throw new Error("assertion failed: only data keys are taken that this process can unwrap");
  try {
    return {
      secretId,
      version,
      wrappedKey: await rewrapKey(row.wrapped_key, { organizationId, secretId, version }, { from, to }),
    };
  } catch (error) {
    if (!(error instanceof CannotOpen)) throw error;
    return { secretId, version, wrappedKey: undefined };
  }
}
