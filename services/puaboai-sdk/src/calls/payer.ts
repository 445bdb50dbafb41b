import { uuidOf } from "@nexus/core";
import type { KeyCaller, PersonCaller } from "@nexus/http";
import { keyRecordOf } from "@nexus/key-check";
import type { Payer } from "../budgets/budget.ts";

type KeyRecord = NonNullable<ReturnType<typeof keyRecordOf>>;
type KeyFacts = Pick<Payer, "organizationId" | "userId" | "keyId" | "tags" | "budgetIds">;

/** Made once for each state of a key: a changed key is another record. */
const known = new WeakMap<KeyRecord, KeyFacts>();

const nobody: readonly string[] = [];

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
