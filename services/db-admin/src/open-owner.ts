import { type AuditWriter, openAuditWriter } from "@nexus/audit";
import { systemClock } from "@nexus/core";
import { type Connection, type Db, openDatabase } from "@nexus/db";

export interface Owner {
  db: Db;
  audit: AuditWriter;
}

/** Who acts in the audit entries of this program. */
export const actor = { kind: "system", id: "db-admin" } as const;

/** Runs `work` as the schema's owner, and closes the connection whatever happens. */
export async function withOwner<T>(connection: Connection, auditKey: string, work: (owner: Owner) => Promise<T>): Promise<T> {
  const database = openDatabase(connection, { applicationName: "nexus-db-admin", poolSize: 1, statementTimeoutMs: 30_000 });
  try {
    return await work({ db: database.db, audit: openAuditWriter({ clock: systemClock, macKey: auditKey }) });
  } finally {
    await database.close();
  }
}
