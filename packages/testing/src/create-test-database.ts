import { randomBytes } from "node:crypto";
import { type Connection, type Database, executeStatements, openDatabase } from "@nexus/db";
import { inject } from "vitest";
import { templateDatabase } from "./test-cluster.ts";

export interface TestDatabase {
  /** Owner of the schema. Services never log in as it. */
  readonly owner: Connection;
  readonly api: Connection;
  readonly ai: Connection;
  readonly keys: Connection;
  /** A pool of the owner's, closed by `drop`. */
  openOwner(): Database;
  /** Ends every connection to it and removes it. */
  drop(): Promise<void>;
}

/** A database of the caller's own, cloned from the run's migrated template; with `empty`, one that no migration has seen. */
export async function createTestDatabase(options: { empty?: boolean } = {}): Promise<TestDatabase> {
  const { owner: template, passwords } = inject("nexusTestCluster");
  const database = `test_${randomBytes(8).toString("hex")}`;
  const maintenance = { ...template, database: "postgres" };
  await executeStatements(maintenance, "nexus-testing", [
    `CREATE DATABASE ${database} TEMPLATE ${options.empty ? "template1" : templateDatabase}`,
    // Rights on a database are not cloned with it.
    `REVOKE CONNECT, TEMPORARY ON DATABASE ${database} FROM PUBLIC`,
    `GRANT CONNECT ON DATABASE ${database} TO nexus_api, nexus_ai, nexus_keys`,
  ]);
  const owner = { ...template, database };
  const opened: Database[] = [];
  return {
    owner,
    api: { ...owner, user: "nexus_api", password: passwords.nexus_api },
    ai: { ...owner, user: "nexus_ai", password: passwords.nexus_ai },
    keys: { ...owner, user: "nexus_keys", password: passwords.nexus_keys },
    openOwner: () => {
      const opening = openDatabase(owner, { applicationName: "nexus-testing", poolSize: 4 });
      opened.push(opening);
      return opening;
    },
    drop: async () => {
      await Promise.all(opened.map((database) => database.close()));
      await executeStatements(maintenance, "nexus-testing", [`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`]);
    },
  };
}
