import type { AuditWriter } from "@nexus/audit";
import type { Key } from "@nexus/contracts/keys";
import { assert, type Clock, Problem, toId, uuidOf } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import type { PersonCaller, RequestContext } from "@nexus/http";
import { presentKey } from "./key.ts";
import { findKey, lockKey, markRevoked, setRevision } from "./keys.store.ts";

interface RevokeKeyDeps {
  db: Db;
  clock: Clock;
  audit: AuditWriter;
}

/** Ends a key for ever. Revoking it again changes nothing and answers the same. @throws Problem `not_found` */
export async function revokeKey(
  deps: RevokeKeyDeps,
  input: { caller: PersonCaller; keyId: string; context: RequestContext },
): Promise<Key> {
  const { caller, context } = input;
  const id = uuidOf("key", input.keyId);
  const organizationId = uuidOf("organization", caller.organizationId);
  assert(organizationId !== undefined, "a verified person has well-formed ids");
  if (id === undefined) throw new Problem("not_found");
  const key = { id, organizationId };
  return await inTransaction(deps.db, async (tx) => {
    if (!(await lockKey(tx, key))) throw new Problem("not_found");
    const before = await findKey(tx, key);
    assert(before, "a locked row is there");
    if (before.state === "revoked") return presentKey(before);
    const at = new Date(deps.clock.now());
    await markRevoked(tx, id, at);
    await deps.audit.write(tx, {
      action: "key.revoked",
      outcome: "success",
      organizationId: caller.organizationId,
      actor: { kind: "person", id: caller.userId },
      targets: [{ kind: "key", id: toId("key", id) }],
      context,
      details: { prefix: before.display_prefix, before: { state: before.state }, after: { state: "revoked" } },
    });
    const rev = await setRevision(tx, key);
    return presentKey({ ...before, state: "revoked", revoked_at: at, updated_at: at, rev });
  });
}
