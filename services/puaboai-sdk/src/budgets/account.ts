/** What this process holds of one budget's account, in memory. */
import type { NanoDollars } from "@nexus/core";
import type { Budget } from "./budget.ts";

/** As PostgreSQL told it last. */
export interface AccountFigures {
  settled: NanoDollars;
  granted: NanoDollars;
}

export interface Account {
  /** uuid */
  readonly id: string;
  /** As it is now: a changed budget replaces it. */
  budget: Budget;
  /** Whose, where the budget is for each of them. */
  readonly subject: string;
  /** When the window ends; `null`: never. */
  readonly resetsAt: Date | null;
  /** The same by this process's monotonic clock: a stepped clock opens no window early. */
  closesAt: number;
  figures: AccountFigures;
  /** What stands on the rows of calls that are charged to it, until the figures change. */
  told: { decision: string; spentPercent: number } | undefined;
  /** What PostgreSQL has granted this process in all, less what was given back, as far as this process has heard. */
  obtained: NanoDollars | undefined;
  /** What a statement about the grant must name; `undefined` until PostgreSQL has told it, and when an answer did not come. */
  fence: bigint | undefined;
  /** Below zero after an overrun that has eaten from what running calls hold. */
  free: NanoDollars;
  /** What running calls hold. */
  reserved: NanoDollars;
  /** With less of it free it is refilled before a call has to wait for that; 0: near its limit, or hardly used. */
  lowAt: NanoDollars;
  /** A refill asks for that many times the call's need. */
  factor: number;
  refilledAt: number;
  usedAt: number;
}

const largestFactor = 256;
/** A refill that comes sooner after the last one asks for twice as much, and one that comes later than the other for one call's. */
const busyMs = 1000;
const slackMs = 10_000;

export function openAccount(opened: Pick<Account, "id" | "budget" | "subject" | "resetsAt" | "closesAt" | "figures">): Account {
  return {
    ...opened,
    told: undefined,
    obtained: undefined,
    fence: undefined,
    free: 0n,
    reserved: 0n,
    lowAt: 0n,
    factor: 1,
    refilledAt: -Infinity,
    usedAt: 0,
  };
}

/** An answer about its grant was lost: nobody knows whether PostgreSQL has done what it was asked for. */
export function isUnsure({ obtained, fence }: Account): boolean {
  return obtained !== undefined && fence === undefined;
}

/** What PostgreSQL says of its grant. What it has granted and this process had not heard of is free. */
export function hearGrant(account: Account, { obtained, fence }: { obtained: NanoDollars; fence: bigint }): void {
  account.free += obtained - (account.obtained ?? obtained);
  account.obtained = obtained;
  account.fence = fence;
}

/** How much a refill for a call should bring: more the busier the account is. */
export function growWish(account: Account, amount: NanoDollars, now: number): NanoDollars {
  const sinceLast = now - account.refilledAt;
  if (sinceLast < busyMs) account.factor = Math.min(account.factor * 2, largestFactor);
  else if (sinceLast > slackMs) account.factor = 1;
  account.refilledAt = now;
  return amount * BigInt(account.factor);
}

/** Soon a call would have to wait for a refill. */
export function isLow({ free, lowAt }: Account): boolean {
  return free < lowAt;
}

/** What PostgreSQL says of it now. */
export function hearFigures(account: Account, figures: AccountFigures): void {
  account.figures = figures;
  account.told = undefined;
}

/** The account as it stands, for whoever asks later why a call was let through. */
export function tell(account: Account): NonNullable<Account["told"]> {
  return (account.told ??= describe(account));
}

function describe({ id, budget: { limit }, figures: { settled, granted } }: Account): NonNullable<Account["told"]> {
  return {
    decision: JSON.stringify({
      account_id: id,
      limit_nanos: `${limit}`,
      settled_nanos: `${settled}`,
      granted_nanos: `${granted}`,
    }),
    spentPercent: limit === 0n ? 100 : Number((settled * 100n) / limit),
  };
}

/** Only a hard budget holds anything for a call; a soft one is told afterwards. */
export function isHard({ budget }: Account): boolean {
  return budget.enforcement === "hard";
}

/** True when every account has what the call may cost, and it is set aside. */
export function takeFromAll(accounts: readonly Account[], amount: NanoDollars, now: number): boolean {
  for (const account of accounts) {
    if (isHard(account) && (account.free < amount || account.budget.frozenAt !== null)) return false;
  }
  for (const account of accounts) {
    account.usedAt = now;
    if (!isHard(account)) continue;
    account.free -= amount;
    account.reserved += amount;
  }
  return true;
}

/**
 * The call is over and has cost this; the rest is free again.
 * @returns what of it nothing that was granted covers: of an overrun, and of what ends after one
 */
export function settleInMemory(account: Account, amount: NanoDollars, cost: NanoDollars, now: number): NanoDollars {
  account.usedAt = now;
  account.reserved -= amount;
  const rest = account.free + amount - cost;
  // An overrun eats from the others' part, and they have that much less to leave.
  account.free = rest > -account.reserved ? rest : -account.reserved;
  return account.free - rest;
}
