import { setTimeout as delay } from "node:timers/promises";
import type { Client } from "pg";
import { MigrationError } from "./migration-error.ts";

/** One number for the lock of this product's migrations, in the pages of pg_locks as classid and objid. */
const lockKey = "hashtextextended('nexus.migrate', 0)";

/**
 * Takes the advisory lock that lets one runner in. It belongs to the session: PostgreSQL frees it when the runner's
 * connection ends, however it ended. Polls, so that waiting is bounded and can say for whom.
 * @throws MigrationError after `waitMs`, naming the holder
 */
export async function acquireMigrationLock(client: Client, waitMs: number, onWait: (holder: string) => void): Promise<void> {
  const deadline = performance.now() + waitMs;
  for (let told = false; ;) {
    const tried = await client.query<{ got: boolean }>(`SELECT pg_try_advisory_lock(${lockKey}) AS got`);
    if (tried.rows[0]?.got) return;
    const holder = await describeHolder(client);
    if (!told) onWait(holder);
    told = true;
    if (performance.now() > deadline) {
      throw new MigrationError(`another migration has been running for longer than ${waitMs} ms: ${holder}`);
    }
    await delay(100);
  }
}

async function describeHolder(client: Client): Promise<string> {
  const found = await client.query<{ pid: number; name: string; address: string | null; since: Date | null }>(
    `SELECT a.pid, a.application_name AS name, host(a.client_addr) AS address, a.backend_start AS since
     FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND (l.classid::bigint << 32) | l.objid::bigint = ${lockKey}`,
  );
  const row = found.rows[0];
  if (!row) return "a runner that has just ended";
  return `${row.name || "unnamed"} at ${row.address ?? "this machine"} (server process ${row.pid}, connected since ${row.since?.toISOString() ?? "?"})`;
}
