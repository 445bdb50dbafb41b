import { Problem, uuidOf } from "@nexus/core";
import type { FastifyRequest, KeyCaller, PersonCaller } from "@nexus/http";
import { keyRecordOf } from "@nexus/key-check";
import { each, type Payer } from "../budgets/budget.ts";

type KeyRecord = NonNullable<ReturnType<typeof keyRecordOf>>;
type KeyFacts = Pick<Payer, "organizationId" | "userId" | "keyId" | "tags" | "budgetIds">;

/** Made once for each state of a key: a changed key is another record. */
const known = new WeakMap<KeyRecord, KeyFacts>();

const nobody: readonly string[] = [];

const sessionHeader = "x-nexus-session";
const sessionName = /^[!-~]{1,128}$/;

/**
 * The agent session that a call belongs to, as its client names it in `x-nexus-session`: 1 to 128 visible ASCII characters.
 * @throws Problem `invalid_request`
 */
export function sessionOf({ headers }: Pick<FastifyRequest, "headers">): string | null {
  const name = headers[sessionHeader];
  if (name === undefined) return null;
  if (typeof name === "string" && sessionName.test(name) && name !== each) return name;
  throw new Problem("invalid_request", `The header ${sessionHeader} must be 1 to 128 visible ASCII characters, and not "*".`);
}

/** Who pays for a call. */
export function payerOf(caller: KeyCaller | PersonCaller, session: string | null): Payer {
  const record = keyRecordOf(caller);
  if (!record) return { ...factsOf(caller), session };
  let facts = known.get(record);
  if (!facts) {
    const budgetIds = record.budget_ids.map((id) => uuidOf("budget", id) ?? id);
    known.set(record, (facts = { ...factsOf(caller), tags: record.tags, budgetIds }));
  }
  return { ...facts, session };
}

function factsOf(caller: KeyCaller | PersonCaller): KeyFacts {
  const userId = caller.kind === "person" ? caller.userId : caller.ownerUserId;
  return {
    organizationId: uuidOf("organization", caller.organizationId) ?? "",
    userId: userId === null ? null : (uuidOf("user", userId) ?? null),
    keyId: caller.kind === "key" ? (uuidOf("key", caller.keyId) ?? null) : null,
    tags: nobody,
    budgetIds: nobody,
  };
}
