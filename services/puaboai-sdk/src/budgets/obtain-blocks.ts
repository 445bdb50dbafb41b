import type { AuditWriter } from "@nexus/audit";
import type { Clock, NanoDollars } from "@nexus/core";
import type { Db } from "@nexus/db";
import { type Account, growWish, hearFigures, hearGrant, isHard, isLow, isUnsure } from "./account.ts";
import { type BlockPart, fenceGrants, type GrantAnswer, giveBack, grantBlocks, type WantedBlock } from "./grants.store.ts";
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
 * Brings the accounts of a call nearer to what it may cost, all or none: whoever calls looks again, and calls again.
 * @throws Problem `budget_exceeded` with level, limit, settled, granted, needed and when it resets; or PostgreSQL's error
 */
export async function obtainBlocks(
  deps: BlockDeps,
  accounts: readonly Account[],
  { amount }: { amount: NanoDollars },
): Promise<void> {
  const frozen = accounts.find((account) => isHard(account) && account.budget.frozenAt !== null);
  if (frozen) throw refuseSpending(amount, frozen);
  const poor = accounts.filter((account) => isHard(account) && account.free < amount);
  const unknown = poor.filter(({ fence }) => fence === undefined);
  // An answer that was lost may have brought enough.
  if (unknown.length > 0) await askGrants(deps, unknown);
  else await askBlocks(deps, poor, amount);
}

/** Brings accounts of which little is left to what calls like this one need for a while, before one has to wait for it. */
export async function refillAhead(deps: BlockDeps, accounts: readonly Account[], amount: NanoDollars): Promise<void> {
  const now = deps.clock.monotonic();
  const low = accounts.filter((account) => isLow(account) && account.fence !== undefined && account.budget.frozenAt === null);
  if (low.length === 0) return;
  const wanted = low.map((account) => wantedOf(account, { needed: amount, wish: growWish(account, amount, now) }));
  hearAnswers(low, await orUnsure(low, grantBlocks(deps.db, deps.processId, wanted)));
}

/** Learns what PostgreSQL has granted of accounts. */
export async function askGrants(deps: BlockDeps, accounts: readonly Account[]): Promise<void> {
  const states = await fenceGrants(deps.db, deps.processId, idsOf(accounts));
  for (const account of accounts) {
    const state = states.find(({ accountId }) => accountId === account.id);
    if (!state) throw new Error(`the account ${account.id} of a budget is gone`);
    hearGrant(account, state);
  }
}

/** Gives back what is free of accounts. Where that fails, `askGrants` tells whether it was done. */
export async function giveBackFree(deps: BlockDeps, accounts: readonly Account[]): Promise<void> {
  const unsure = accounts.filter(isUnsure);
  if (unsure.length > 0) await askGrants(deps, unsure);
  const parts: BlockPart[] = [];
  const given = accounts.filter(({ free, fence }) => free > 0n && fence !== undefined);
  for (const account of given) {
    const { id, free, obtained = 0n, fence = 0n } = account;
    parts.push({ accountId: id, fence, amount: free });
    // Taken out first: no call may spend it meanwhile. Whoever comes next begins with a small block.
    Object.assign(account, { free: 0n, obtained: obtained - free, factor: 1, lowAt: 0n });
  }
  if (parts.length === 0) return;
  const done = await orUnsure(given, giveBack(deps.db, deps.processId, parts));
  // A question of before, of which no answer came, has raised the fence meanwhile.
  for (const account of given) if (!done.has(account.id)) account.fence = undefined;
}

async function askBlocks(deps: BlockDeps, poor: readonly Account[], amount: NanoDollars): Promise<void> {
  const now = deps.clock.monotonic();
  const wanted = poor.map((account) => {
    const needed = amount - account.free;
    const wish = growWish(account, amount, now);
    return wantedOf(account, { needed, wish: wish > needed ? wish : needed });
  });
  const needs = new Map(wanted.map(({ accountId, needed }) => [accountId, needed]));
  const answers = await orUnsure(poor, grantBlocks(deps.db, deps.processId, wanted));
  hearAnswers(poor, answers);
  const refusal = answers.find((answer) => refuses(answer, needs.get(answer.accountId) ?? 0n));
  if (!refusal) return;
  const { frozenAt, limit } = refusal;
  const account = poor.find(({ id }) => id === refusal.accountId);
  const available = leastOf(
    answers.map((answer) => leftOf(answer) + (poor.find(({ id }) => id === answer.accountId)?.free ?? 0n)),
  );
  throw refuseSpending(amount, account && { ...account, budget: { ...account.budget, limit, frozenAt } }, available);
}

function wantedOf({ id, fence = 0n }: Account, { needed, wish }: { needed: NanoDollars; wish: NanoDollars }): WantedBlock {
  return { accountId: id, fence, needed, wish };
}

function hearAnswers(accounts: readonly Account[], answers: readonly GrantAnswer[]): void {
  for (const account of accounts) {
    const answer = answers.find(({ accountId }) => accountId === account.id);
    // Somebody else has raised the fence, or what we hold was released behind our back.
    if (!answer) account.fence = undefined;
    else hearAnswer(account, answer);
  }
}

function hearAnswer(account: Account, answer: GrantAnswer): void {
  hearFigures(account, { settled: answer.settled, granted: answer.granted });
  hearGrant(account, answer);
  account.lowAt = answer.isGranted && account.factor > 1 ? account.free / 4n : 0n;
}

/** Whether a statement that has failed was carried out nobody knows: its answer may have been what was lost. */
async function orUnsure<T>(accounts: readonly Account[], statement: Promise<T>): Promise<T> {
  try {
    return await statement;
  } catch (error) {
    for (const account of accounts) account.fence = undefined;
    throw error;
  }
}

const idsOf = (accounts: readonly Account[]): string[] => accounts.map(({ id }) => id);

function refuses(answer: GrantAnswer, needed: NanoDollars): boolean {
  return !answer.isGranted && (answer.frozenAt !== null || leftOf(answer) < needed);
}

/** What nobody has spent or holds. Below zero where the limit was lowered. */
function leftOf({ limit, settled, granted, frozenAt }: GrantAnswer): NanoDollars {
  return frozenAt === null ? limit - settled - granted : 0n;
}

function leastOf(amounts: readonly NanoDollars[]): NanoDollars {
  const least = amounts.reduce((one, other) => (one < other ? one : other));
  return least > 0n ? least : 0n;
}
