import { Client } from "pg";
import type { Connection } from "./connection.ts";
import { clientOptions } from "./open-database.ts";

/** A connection outside any pool, for the tools that prepare a database; closed whatever happens. */
export async function withClient<T>(
  connection: Connection,
  applicationName: string,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  const client = new Client({ ...clientOptions(connection, applicationName), connectionTimeoutMillis: 5000 });
  // The query under way is refused too; without a listener the event would end the process first.
  client.on("error", () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => {});
  }
}

/** Runs statements one after the other, each by itself, as `CREATE DATABASE` asks for. */
export async function executeStatements(
  connection: Connection,
  applicationName: string,
  statements: readonly string[],
): Promise<void> {
  await withClient(connection, applicationName, async (client) => {
    for (const statement of statements) await client.query(statement);
  });
}
