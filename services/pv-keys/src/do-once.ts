import { createHmac } from "node:crypto";
import { inChangeTransaction } from "@nexus/change-feed";
import { assert } from "@nexus/core";
import { withIdempotency } from "@nexus/db";
import { callerOf, type FastifyReply, type FastifyRequest } from "@nexus/http";
import type { Deps } from "./deps.ts";

interface Repeatable {
  request: FastifyRequest;
  reply: FastifyReply;
  /** True for an answer that is not stored. */
  holdsSecret: boolean;
}

/**
 * Does what a request asks, once for each `Idempotency-Key` that the caller sends with it; `work` gets the dependencies with
 * the transaction in which the key is kept.
 * @param idsOf what an answer with a secret made
 * @throws Problem `idempotency_in_progress`, `idempotency_mismatch`, `secret_not_replayable`
 */
export async function doOnce<A>(
  deps: Deps,
  { request, reply, holdsSecret }: Repeatable,
  work: (deps: Deps) => Promise<A>,
  idsOf?: (answer: A) => readonly string[],
): Promise<A> {
  const key = request.headers["idempotency-key"];
  if (typeof key !== "string") return await work(deps);
  const caller = callerOf(request);
  assert(caller.kind !== "service", "no service comes to the published listener");
  const content = [caller.organizationId, request.method, request.url, fingerprint(deps.cursorSecret, request.body)];
  const asked = { service: "pv-keys", caller: caller.kind === "key" ? caller.keyId : caller.userId, key, content, holdsSecret };
  const once = await inChangeTransaction(deps, (tx) => withIdempotency(tx, asked, () => work({ ...deps, db: tx }), idsOf));
  if (once.replayed) reply.header("idempotent-replayed", "true");
  return once.answer;
}

/** Keyed: whoever reads the table must not be able to guess at a short secret in a body. */
function fingerprint(key: Buffer, body: unknown): string {
  return createHmac("sha256", key)
    .update(JSON.stringify(body) ?? "")
    .digest("base64url");
}
