import { assert, Problem, uuidOf } from "@nexus/core";
import { type Caller, isAdmin } from "@nexus/http";

/** Of all calls the part that is asked for; uuids, `undefined`: of any. */
export interface Seen {
  organizationId: string | undefined;
  keyId: string | undefined;
}

/** A key sees its own calls, a person their organization's, an administrator all. */
export function seenBy(caller: Caller): Seen {
  assert(caller.kind !== "service", "the routes let no services in");
  if (isAdmin(caller)) return { organizationId: undefined, keyId: undefined };
  const keyId = caller.kind === "key" ? rowId("key", caller.keyId) : undefined;
  return { organizationId: rowId("organization", caller.organizationId), keyId };
}

/** What a caller may see, narrowed to what it asks for. @throws Problem `not_found` for another's organization or key */
export function narrowed(caller: Caller, query: { organization_id?: string; key_id?: string }): Seen {
  const seen = seenBy(caller);
  const organizationId = rowId("organization", query.organization_id);
  const keyId = rowId("key", query.key_id);
  if (isAnothers(seen.organizationId, organizationId) || isAnothers(seen.keyId, keyId))
    throw new Problem("not_found", "There is no such organization or key, or it is another's.");
  return { organizationId: seen.organizationId ?? organizationId, keyId: seen.keyId ?? keyId };
}

function isAnothers(mine: string | undefined, asked: string | undefined): boolean {
  return mine !== undefined && asked !== undefined && mine !== asked;
}

/** @throws Problem `not_found` for what is no id of this kind */
export function rowId(kind: "organization" | "key" | "user", id: string | undefined): string | undefined {
  if (id === undefined) return undefined;
  const uuid = uuidOf(kind, id);
  if (uuid === undefined) throw new Problem("not_found", `There is no such ${kind}, or it is another's.`);
  return uuid;
}

const thirtyDaysMs = 30 * 86_400_000;

/** The last thirty days unless told. */
export function spanOf(query: { from?: string; to?: string }, now: number): { from: Date; to: Date } {
  const to = query.to === undefined ? new Date(now + 1) : new Date(query.to);
  return { from: query.from === undefined ? new Date(to.getTime() - thirtyDaysMs) : new Date(query.from), to };
}
