import type { NanoDollars } from "@nexus/core";
import type { Db } from "@nexus/db";
import { sql } from "kysely";

/** What PostgreSQL says of a process and an account. */
export interface GrantState {
  accountId: string;
  /** Granted in all, less what was given back. */
  obtained: NanoDollars;
  /** Statements that name an older one do nothing. */
  fence: bigint;
}

/**
 * Tells what a process has obtained, and raises the fences: a statement of before, of which no answer came and which may still be
 * under way, takes no effect after this one. (A fencing token; Kleppmann, "How to do distributed locking", 2016.)
 */
export async function fenceGrants(db: Db, processId: string, accountIds: readonly string[]): Promise<GrantState[]> {
  const { rows } = await sql<GrantState>`
    WITH open AS (SELECT id FROM budget_accounts WHERE id = ANY(${accountIds}::uuid[]) ORDER BY id FOR UPDATE)
    INSERT INTO budget_grants (process_id, account_id, granted_nanos) SELECT ${processId}, id, 0 FROM open
    ON CONFLICT (process_id, account_id) DO UPDATE SET fence = budget_grants.fence + 1
    RETURNING account_id AS "accountId", obtained_nanos AS obtained, fence`.execute(db);
  return rows;
}

export interface WantedBlock {
  accountId: string;
  fence: bigint;
  /** Less would not do. */
  needed: NanoDollars;
  /** More would not be used soon. */
  wish: NanoDollars;
}

/** An account as it stands after the statement. */
export interface GrantAnswer extends GrantState {
  /** False where any of the accounts does not allow what is needed of it: then none was granted anything. */
  isGranted: boolean;
  limit: NanoDollars;
  settled: NanoDollars;
  granted: NanoDollars;
  frozenAt: Date | null;
}

/**
 * Grants a process blocks of accounts, each at least `needed` and at most `wish`, or none of them: one statement that keeps
 * `settled + granted ≤ limit` whatever runs beside it. No more than a sixteenth of what is left, unless the call needs it, so that
 * several processes do not hold the rest from one another.
 *
 * @returns the accounts whose fence is the one that was named
 */
export async function grantBlocks(db: Db, processId: string, wanted: readonly WantedBlock[]): Promise<GrantAnswer[]> {
  const document = JSON.stringify(
    wanted.map(({ accountId, fence, needed, wish }) => ({
      account_id: accountId,
      fence: `${fence}`,
      needed: `${needed}`,
      wish: `${wish}`,
    })),
  );
  const { rows } = await sql<GrantAnswer>`
    WITH open AS (
      SELECT a.id, a.settled_nanos, a.granted_nanos, b.limit_nanos, g.obtained_nanos, g.fence, w.needed, w.wish,
        CASE WHEN b.deleted_at IS NULL THEN b.frozen_at ELSE b.deleted_at END AS frozen_at,
        b.limit_nanos - a.settled_nanos - a.granted_nanos AS left_nanos
      FROM budget_accounts a JOIN budgets b ON b.id = a.budget_id
      JOIN jsonb_to_recordset(${document}::jsonb) AS w (account_id uuid, fence bigint, needed bigint, wish bigint) ON w.account_id = a.id
      JOIN budget_grants g ON g.account_id = a.id AND g.process_id = ${processId} AND g.fence = w.fence
      ORDER BY a.id FOR UPDATE OF a, g
    ), allowed AS (
      SELECT id, LEAST(GREATEST(needed, left_nanos / 16), wish) AS block FROM open
      WHERE (SELECT count(*) FROM open) = ${wanted.length}
        AND NOT EXISTS (SELECT FROM open WHERE left_nanos < needed OR frozen_at IS NOT NULL)
    ), taken AS (
      UPDATE budget_accounts SET granted_nanos = granted_nanos + allowed.block, updated_at = now()
      FROM allowed WHERE budget_accounts.id = allowed.id RETURNING budget_accounts.id
    ), noted AS (
      UPDATE budget_grants SET granted_nanos = granted_nanos + allowed.block, obtained_nanos = obtained_nanos + allowed.block
      FROM allowed JOIN taken ON taken.id = allowed.id WHERE account_id = allowed.id AND process_id = ${processId}
    )
    SELECT open.id AS "accountId", allowed.block IS NOT NULL AS "isGranted", open.obtained_nanos + coalesce(allowed.block, 0) AS obtained,
      open.fence, open.limit_nanos AS "limit", open.settled_nanos AS settled,
      open.granted_nanos + coalesce(allowed.block, 0) AS granted, open.frozen_at AS "frozenAt"
    FROM open LEFT JOIN allowed ON allowed.id = open.id ORDER BY open.id`.execute(db);
  return rows;
}

export interface BlockPart {
  accountId: string;
  fence: bigint;
  amount: NanoDollars;
}

/**
 * Gives back parts of what a process holds, of those accounts whose fence is the one that was named.
 * @returns the ids of these accounts
 */
export async function giveBack(db: Db, processId: string, parts: readonly BlockPart[]): Promise<ReadonlySet<string>> {
  const document = JSON.stringify(
    parts.map(({ accountId, fence, amount }) => ({ account_id: accountId, fence: `${fence}`, amount: `${amount}` })),
  );
  const { rows } = await sql<{ id: string }>`
    WITH parts AS (SELECT * FROM jsonb_to_recordset(${document}::jsonb) AS r (account_id uuid, fence bigint, amount bigint)),
    open AS (
      SELECT a.id, parts.fence, parts.amount FROM budget_accounts a JOIN parts ON parts.account_id = a.id ORDER BY a.id FOR UPDATE OF a
    ),
    held AS (
      UPDATE budget_grants SET granted_nanos = granted_nanos - open.amount, obtained_nanos = obtained_nanos - open.amount
      FROM open WHERE account_id = open.id AND process_id = ${processId} AND budget_grants.fence = open.fence
      RETURNING account_id, open.amount
    )
    UPDATE budget_accounts SET granted_nanos = granted_nanos - held.amount, updated_at = now()
    FROM held WHERE budget_accounts.id = held.account_id RETURNING budget_accounts.id`.execute(db);
  return new Set(rows.map(({ id }) => id));
}

/** Locks the accounts, always in the order of their ids, so that no two transactions wait for each other. */
export async function lockAccounts(tx: Db, accountIds: readonly string[]): Promise<void> {
  await sql`SELECT id FROM budget_accounts WHERE id = ANY(${accountIds}::uuid[]) ORDER BY id FOR UPDATE`.execute(tx);
}

export interface SettledAccount {
  accountId: string;
  budgetId: string;
  organizationId: string;
  settled: NanoDollars;
  granted: NanoDollars;
}

/**
 * Turns what calls of a process have cost from granted into settled, and notes which told shares of a limit that passed. What a
 * call cost beyond its process's grant is settled all the same: an overrun. The accounts must be locked.
 */
export async function settleCosts(
  tx: Db,
  processId: string,
  charges: ReadonlyMap<string, { cost: NanoDollars; covered: NanoDollars }>,
): Promise<SettledAccount[]> {
  const document = JSON.stringify(
    Array.from(charges, ([accountId, { cost, covered }]) => ({ account_id: accountId, cost: `${cost}`, covered: `${covered}` })),
  );
  const { rows } = await sql<SettledAccount>`
    WITH sums AS (SELECT * FROM jsonb_to_recordset(${document}::jsonb) AS r (account_id uuid, cost bigint, covered bigint)), held AS (
      SELECT sums.account_id, sums.cost, LEAST(sums.covered, coalesce(budget_grants.granted_nanos, 0)) AS taken
      FROM sums LEFT JOIN budget_grants ON budget_grants.account_id = sums.account_id AND budget_grants.process_id = ${processId}
    ), used AS (
      UPDATE budget_grants SET granted_nanos = granted_nanos - held.taken
      FROM held WHERE budget_grants.account_id = held.account_id AND process_id = ${processId}
    ), settled AS (
      UPDATE budget_accounts SET settled_nanos = settled_nanos + held.cost, granted_nanos = granted_nanos - held.taken, updated_at = now()
      FROM held WHERE budget_accounts.id = held.account_id RETURNING budget_accounts.*, held.cost
    ), alerts AS (
      INSERT INTO budget_alerts (account_id, percent, settled_nanos, limit_nanos)
      SELECT settled.id, share, settled.settled_nanos, limit_nanos
      FROM settled JOIN budgets ON budgets.id = settled.budget_id CROSS JOIN unnest(alert_percents) AS share
      WHERE limit_nanos > 0 AND settled.settled_nanos::numeric * 100 >= limit_nanos::numeric * share
        AND (settled.settled_nanos - settled.cost)::numeric * 100 < limit_nanos::numeric * share
      ON CONFLICT (account_id, percent) DO NOTHING
    )
    SELECT settled.id AS "accountId", settled.budget_id AS "budgetId", organization_id AS "organizationId",
      settled.settled_nanos AS settled, settled.granted_nanos AS granted
    FROM settled JOIN budgets ON budgets.id = settled.budget_id`.execute(tx);
  return rows;
}

/** Gives back everything that a process has set aside and that no row of it has settled. Call it when it has no call left. */
export async function releaseGrants(tx: Db, processId: string): Promise<void> {
  // Accounts first, as everywhere, so that no two transactions wait for each other.
  await sql`SELECT id FROM budget_accounts WHERE id IN (SELECT account_id FROM budget_grants WHERE process_id = ${processId})
    ORDER BY id FOR UPDATE`.execute(tx);
  await sql`
    WITH gone AS (DELETE FROM budget_grants WHERE process_id = ${processId} RETURNING account_id, granted_nanos)
    UPDATE budget_accounts SET granted_nanos = budget_accounts.granted_nanos - gone.granted_nanos, updated_at = now()
    FROM gone WHERE budget_accounts.id = gone.account_id AND gone.granted_nanos > 0`.execute(tx);
}

/**
 * Freezes the hard budgets of accounts of which a call cost more than what was set aside.
 * @returns those that were not frozen before
 */
export async function freezeBudgets(tx: Db, accountIds: readonly string[]): Promise<{ id: string; organizationId: string }[]> {
  const { rows } = await sql<{ id: string; organizationId: string }>`
    WITH overrun AS (
      SELECT id FROM budgets WHERE id IN (SELECT budget_id FROM budget_accounts WHERE id = ANY(${accountIds}::uuid[]))
        AND enforcement = 'hard' AND frozen_at IS NULL ORDER BY id FOR UPDATE
    )
    UPDATE budgets SET frozen_at = now(), updated_at = now() FROM overrun WHERE budgets.id = overrun.id
    RETURNING budgets.id, organization_id AS "organizationId"`.execute(tx);
  return rows;
}
