/** Bringing every data key under the current key-encryption key: its begin, its end, its progress. */
import type { AuditActor } from "@nexus/audit";
import { inChangeTransaction } from "@nexus/change-feed";
import type { KeyEncryptionKeyUse, SecretRewrap } from "@nexus/contracts/secrets";
import { newUuid, toId } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { RequestContext } from "@nexus/http";
import {
  announceRewrap,
  countRemaining,
  findNewest,
  findRunning,
  finishRewrap,
  insertRewrap,
  listKeyUses,
  lockRewraps,
  type RewrapRow,
} from "./rewraps.store.ts";
import { type SecretDeps, usableKeys } from "./secret-deps.ts";
import type { Keeper } from "./secret.ts";
import { fingerprintsInUse } from "./secrets.store.ts";

/** A new run, or the one that is under way to the same key. @throws Problem `unavailable` */
export async function startRewrap(
  deps: SecretDeps,
  { keeper, context }: { keeper: Keeper; context: RequestContext },
): Promise<SecretRewrap> {
  const to = (await usableKeys(deps)).current.fingerprint;
  const row = await inChangeTransaction(deps, async (tx) => {
    await lockRewraps(tx);
    const running = await findRunning(tx);
    if (running?.to_fingerprint === to) return running;
    if (running) await endRewrap(deps, tx, running.id, { superseded: true });
    const now = deps.clock.now();
    const made = await insertRewrap(tx, {
      id: newUuid(now),
      to_fingerprint: to,
      from_fingerprints: (await fingerprintsInUse(tx)).filter((fingerprint) => fingerprint !== to),
      started_by: keeper.userId,
      started_at: new Date(now),
    });
    await auditRewrap(deps, tx, { action: "secret.rewrap_started", row: made, actor: keeper.actor, context });
    await announceRewrap(tx, made.id);
    return made;
  });
  return await presentRewrap(deps.db, row);
}

/** Ends a run, once: of several processes that find nothing left one writes it down. */
export async function endRewrap(
  deps: Pick<SecretDeps, "clock" | "audit">,
  tx: Db,
  id: string,
  { superseded }: { superseded: boolean },
): Promise<RewrapRow | undefined> {
  const row = await finishRewrap(tx, id, { at: new Date(deps.clock.now()), superseded });
  if (row) await auditRewrap(deps, tx, { action: "secret.rewrap_finished", row, actor: { kind: "system" }, context: {} });
  return row;
}

/** The newest run, and how much hangs on each key-encryption key. */
export async function overviewOf({
  db,
  keyEncryption,
}: SecretDeps): Promise<{ rewrap: SecretRewrap | null; keys: KeyEncryptionKeyUse[] }> {
  const newest = await findNewest(db);
  const held = new Set(keyEncryption?.keys.map(({ fingerprint }) => fingerprint));
  const keys = (await listKeyUses(db)).map((use) => ({
    ...use,
    current: use.fingerprint === keyEncryption?.current.fingerprint,
    held: held.has(use.fingerprint),
  }));
  return { rewrap: newest ? await presentRewrap(db, newest) : null, keys };
}

async function presentRewrap(db: Db, row: RewrapRow): Promise<SecretRewrap> {
  const [done, failed] = [Number(row.done), Number(row.failed)];
  const remaining = row.finished_at === null ? await countRemaining(db, row) : 0;
  return {
    id: toId("rewrap", row.id),
    state: row.finished_at === null ? "running" : row.superseded ? "superseded" : "finished",
    from_fingerprints: row.from_fingerprints,
    to_fingerprint: row.to_fingerprint,
    total: done + failed + remaining,
    done,
    failed,
    started_at: row.started_at.toISOString(),
    started_by: toId("user", row.started_by),
    finished_at: row.finished_at?.toISOString() ?? null,
  };
}

interface RewrapEvent {
  action: `secret.rewrap_${"started" | "finished"}`;
  row: RewrapRow;
  actor: AuditActor;
  context: Partial<RequestContext>;
}

async function auditRewrap(
  { audit }: Pick<SecretDeps, "audit">,
  tx: Db,
  { action, row, actor, context }: RewrapEvent,
): Promise<void> {
  const { from_fingerprints, to_fingerprint, superseded } = row;
  await audit.write(tx, {
    action,
    outcome: row.failed > 0n ? "failure" : "success",
    actor,
    targets: [{ kind: "secret_rewrap", id: toId("rewrap", row.id) }],
    context,
    details: { from_fingerprints, to_fingerprint, superseded, done: Number(row.done), failed: Number(row.failed) },
  });
}
