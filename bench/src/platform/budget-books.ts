/** What PostgreSQL says about the money of one budget, read as the owner of the schema. */
import { uuidOf } from "@nexus/core";
import { type Connection, type Db, openDatabase } from "@nexus/db";

interface Account {
  settledNanos: bigint;
  grantedNanos: bigint;
}

export interface Money extends Account {
  /** Sum of the usage rows that are charged to it. */
  rowsNanos: bigint;
}

export interface BudgetBooks {
  /** At one instant. */
  account(budgetId: string): Promise<Account>;
  /** Of a budget of a key. */
  money(budgetId: string, keyId: string): Promise<Money>;
  /** Request id and how many rows its first attempt has. */
  rows(keyId: string): Promise<Map<string, number>>;
  close(): Promise<void>;
}

const noId = "00000000-0000-0000-0000-000000000000";

export function openBudgetBooks(connection: Connection): BudgetBooks {
  const database = openDatabase(connection, { applicationName: "bench-books" });
  const { db } = database;
  return {
    account: async (budgetId) => {
      const { settled_nanos: settledNanos, granted_nanos: grantedNanos } = await accountOf(db, budgetId);
      return { settledNanos, grantedNanos };
    },
    money: async (budgetId, keyId) => {
      const account = await accountOf(db, budgetId);
      const rows = await db
        .selectFrom("usage_events")
        .select(["cost_nanos", "account_ids"])
        .where("key_id", "=", uuidOf("key", keyId) ?? noId)
        .execute();
      const charged = rows.filter(({ account_ids: ids }) => ids.includes(account.id));
      const rowsNanos = charged.reduce((sum, { cost_nanos: cost }) => sum + cost, 0n);
      return { settledNanos: account.settled_nanos, grantedNanos: account.granted_nanos, rowsNanos };
    },
    rows: async (keyId) => {
      const rows = await db
        .selectFrom("usage_events")
        .select(({ fn }) => ["request_id", fn.countAll<string>().as("count")])
        .where("key_id", "=", uuidOf("key", keyId) ?? noId)
        .where("attempt", "=", 1)
        .groupBy("request_id")
        .execute();
      return new Map(rows.map(({ request_id: id, count }) => [id, Number(count)]));
    },
    close: () => database.close(),
  };
}

async function accountOf(db: Db, budgetId: string): Promise<{ id: string; settled_nanos: bigint; granted_nanos: bigint }> {
  const account = await db
    .selectFrom("budget_accounts")
    .select(["id", "settled_nanos", "granted_nanos"])
    .where("budget_id", "=", uuidOf("budget", budgetId) ?? noId)
    .executeTakeFirst();
  return account ?? { id: "", settled_nanos: 0n, granted_nanos: 0n };
}
