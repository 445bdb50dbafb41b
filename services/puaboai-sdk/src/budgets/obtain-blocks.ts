import type { AuditWriter } from "@nexus/audit";
import type { Clock, NanoDollars } from "@nexus/core";
import type { Db } from "@nexus/db";
import { type Account, growWish, hearFigures, isHard } from "./account.ts";
import { type GrantAnswer, grantBlocks } from "./grants.store.ts";
import { refuseSpending } from "./refuse-spending.ts";

export interface BlockDeps {
  db: Db;
  audit: AuditWriter;
  clock: Clock;
  processId: string;
  /** What an organization may spend that nobody has given a budget; `undefined`: nothing. */
  defaultBudget: NanoDollars | undefined;
}

/**
 * Brings the accounts of a call to what it may cost, all or none.
 * @throws Problem `budget_exceeded` with level, limit, settled, granted, needed and when it resets
 */
export async function obtainBlocks(
  deps: BlockDeps,
  accounts: readonly Account[],
  { amount }: { amount: NanoDollars },
): Promise<void> {
  const frozen = accounts.find((account) => isHard(account) && account.budget.frozenAt !== null);
  if (frozen) throw refuseSpending(amount, frozen);
  const now = deps.clock.monotonic();
  const poor = accounts.filter((account) => isHard(account) && account.free < amount);
  const wanted = poor.map((account) => {
    const needed = amount - account.free;
    const wish = growWish(account, amount, now);
    return { accountId: account.id, needed, wish: wish > needed ? wish : needed };
  });
  const needs = new Map(wanted.map(({ accountId, needed }) => [accountId, needed]));
  const answers = await grantBlocks(deps.db, deps.processId, wanted);
  for (const answer of answers) {
    const account = poor.find(({ id }) => id === answer.accountId);
    if (!account) continue;
    hearFigures(account, { settled: answer.settled, granted: answer.granted });
    if (answer.block !== null) account.free += answer.block;
  }
  const refusal = answers.find((answer) => refuses(answer, needs.get(answer.accountId) ?? 0n));
  if (!refusal) return;
  const { frozenAt, limit } = refusal;
  const account = poor.find(({ id }) => id === refusal.accountId);
  throw refuseSpending(amount, account && { ...account, budget: { ...account.budget, limit, frozenAt } });
}

function refuses({ block, limit, settled, granted, frozenAt }: GrantAnswer, needed: NanoDollars): boolean {
  return block === null && (frozenAt !== null || limit - settled - granted < needed);
}
