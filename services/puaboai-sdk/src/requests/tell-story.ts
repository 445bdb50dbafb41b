import type { RequestStory } from "@nexus/contracts/requests";
import { Problem, toId } from "@nexus/core";
import type { Db } from "@nexus/db";
import { presentStory } from "./present-request.ts";
import { findAccounts, findActors, findAttempts, findAuditEntries } from "./requests.store.ts";

interface Asked {
  /** uuids; `undefined`: of any. */
  requestId: string;
  organizationId: string | undefined;
  keyId: string | undefined;
  /** Names and audit entries are for people. What a key may read of the audit log it asks puabo-api for. */
  isPerson: boolean;
}

/** Entries are written with the request, and those of its settlement soon after. */
const auditBeforeMs = 60_000;
const auditAfterMs = 3_600_000;

/** @throws Problem `not_found` for a request that is not there, or another's */
export async function tellStory(db: Db, asked: Asked): Promise<RequestStory> {
  const [first, ...others] = await findAttempts(db, asked);
  if (!first) throw new Problem("not_found", "There is no such request, or it is another's.");
  const attempts = [first, ...others] as const;
  const { key_id: keyId, user_id: userId, organization_id: organizationId } = first;
  const since = new Date(first.occurred_at.getTime() - auditBeforeMs);
  const until = new Date((others.at(-1) ?? first).occurred_at.getTime() + auditAfterMs);
  const [accounts, actors, auditEntries] = await Promise.all([
    findAccounts(db, [...new Set(attempts.flatMap(({ account_ids: ids }) => ids))]),
    asked.isPerson ? findActors(db, { keyId, userId }) : { keyName: null, userName: null },
    asked.isPerson ? findAuditEntries(db, { requestId: toId("request", asked.requestId), organizationId, since, until }) : [],
  ]);
  return presentStory({ attempts, accounts, actors, auditEntries });
}
