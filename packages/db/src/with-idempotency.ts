/** Requests that may be sent again without being done again. */
import { hash } from "node:crypto";
import { Problem } from "@nexus/core";
import { sql } from "kysely";
import type { Db } from "./tables.ts";

export interface RepeatableRequest {
  service: string;
  /** `usr_…` or `key_…`: nobody learns from a key what another did. */
  caller: string;
  /** What the caller sent as `Idempotency-Key`. */
  key: string;
  /** Everything that tells one request from another: method, path, body. */
  content: unknown;
  /** True for an answer that reveals a secret: it is not stored, and a repetition is told so. */
  holdsSecret: boolean;
}

export interface Once<A> {
  answer: A;
  /** True when nothing was done, because it had been done before. */
  replayed: boolean;
}

/** Rows cleared away by each new one; they do not pile up, and no request pays for many. */
const clearedAtOnce = 100;

/**
 * Does `work` once for each key of a caller, and for 24 hours answers its repetition with what was answered then. What fails
 * leaves nothing behind and may be tried again with the same key.
 * @param tx the transaction in which `work` makes what it makes: its row and the key's are committed together
 * @param idsOf what an answer with a secret made: a repetition names it, so that it can be revoked
 * @throws Problem `idempotency_in_progress` while the first request runs, `idempotency_mismatch` for another request under
 *   the same key, `secret_not_replayable` for an answer that held a secret
 */
export async function withIdempotency<A>(
  tx: Db,
  request: RepeatableRequest,
  work: () => Promise<A>,
  idsOf: (answer: A) => readonly string[] = () => [],
): Promise<Once<A>> {
  if (!tx.isTransaction) throw new Error("assertion failed: an idempotent request needs a transaction");
  const { service, caller, key, holdsSecret } = request;
  await lock(tx, request);
  const requestHash = hash("sha256", JSON.stringify(request.content) ?? "", "buffer");
  const known = await tx
    .selectFrom("idempotency_keys")
    .select(["request_hash", "answer", "made"])
    .where((eb) => eb.and({ service, caller, key }))
    .where("expires_at", ">", sql<Date>`now()`)
    .executeTakeFirst();
  if (known) return { answer: replay(known, requestHash) as A, replayed: true };
  await reserve(tx, request, requestHash);
  const answer = await work();
  const row = tx.updateTable("idempotency_keys");
  const kept = holdsSecret ? row.set({ made: [...idsOf(answer)] }) : row.set({ answer: JSON.stringify(answer) });
  await kept.where((eb) => eb.and({ service, caller, key })).execute();
  return { answer, replayed: false };
}

/** Held until the transaction ends; a process that dies gives it back. */
async function lock(tx: Db, { service, caller, key }: RepeatableRequest): Promise<void> {
  const name = JSON.stringify(["nexus.idempotency", service, caller, key]);
  const { rows } = await sql<{ held: boolean }>`
    SELECT pg_try_advisory_xact_lock(hashtextextended(${name}, 0)) AS held`.execute(tx);
  if (!rows[0]?.held) throw new Problem("idempotency_in_progress", undefined, { headers: { "retry-after": "1" } });
}

function replay(known: { request_hash: Buffer; answer: unknown; made: string[] | null }, requestHash: Buffer): unknown {
  if (!known.request_hash.equals(requestHash)) throw new Problem("idempotency_mismatch");
  if (known.answer === null) {
    throw new Problem("secret_not_replayable", undefined, { extensions: { created: known.made ?? [] } });
  }
  return known.answer;
}

/** Before the work, as what the work says to the change feed has to come last. */
async function reserve(tx: Db, { service, caller, key }: RepeatableRequest, requestHash: Buffer): Promise<void> {
  await sql`DELETE FROM idempotency_keys WHERE ctid IN (
    SELECT ctid FROM idempotency_keys WHERE expires_at <= now() ORDER BY expires_at LIMIT ${clearedAtOnce} FOR UPDATE SKIP LOCKED)`.execute(
    tx,
  );
  const expiresAt = sql<Date>`now() + interval '24 hours'`;
  await tx
    .insertInto("idempotency_keys")
    .values({ service, caller, key, request_hash: requestHash, expires_at: expiresAt })
    .onConflict((conflict) =>
      conflict
        .columns(["service", "caller", "key"])
        .doUpdateSet({ request_hash: requestHash, answer: null, made: null, expires_at: expiresAt }),
    )
    .execute();
}
