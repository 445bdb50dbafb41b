import type { PostgresPool, PostgresPoolClient } from "kysely";
import type { Pool, PoolClient } from "pg";
import { isReadTimeout } from "./errors.ts";

/**
 * pg's read timeout refuses the query but leaves its connection in the pool, still waiting for the old answer: with a
 * hung server every later query would queue behind it. Here such a connection is closed instead, and what follows on it
 * (the ROLLBACK of the same transaction) fails at once rather than after a second deadline.
 */
export function guardedPool(pool: Pool): PostgresPool {
  const guarded = new WeakMap<PoolClient, PostgresPoolClient>();
  return {
    options: pool.options,
    end: () => pool.end(),
    connect: async () => {
      const client = await pool.connect();
      let known = guarded.get(client);
      if (!known) guarded.set(client, (known = guardClient(client)));
      return known;
    },
  };
}

function guardClient(client: PoolClient): PostgresPoolClient {
  let timedOut: Error | undefined;
  const query = async (sql: string, parameters: readonly unknown[]): Promise<unknown> => {
    if (timedOut) throw timedOut;
    try {
      return await client.query(sql, [...parameters]);
    } catch (error) {
      if (error instanceof Error && isReadTimeout(error)) timedOut = error;
      throw error;
    }
  };
  return {
    // Kysely's second overload, for cursors, is never called: the dialect is given no cursor class.
    query: query as PostgresPoolClient["query"],
    release: (destroy) => client.release(destroy === true || timedOut !== undefined),
  };
}
