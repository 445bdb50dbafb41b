import { connect as connectSocket, createServer, type Server, type Socket } from "node:net";
import { createTestDatabase, freePort, type TestDatabase, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Connection } from "./connection.ts";
import { isUnavailable, isUniqueViolation } from "./errors.ts";
import { inTransaction } from "./in-transaction.ts";
import { type Database, type DatabaseOptions, openDatabase } from "./open-database.ts";
import { pendingMigrations } from "./pending-migrations.ts";

let testDatabase: TestDatabase;
const opened: { close(): unknown }[] = [];
beforeAll(async () => {
  testDatabase = await createTestDatabase();
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((thing) => thing.close()));
});
afterAll(async () => await testDatabase.drop());

function open(connection: Connection = testDatabase.owner, options: Partial<DatabaseOptions> = {}): Database {
  const database = openDatabase(connection, { applicationName: "open-database.test", ...options });
  opened.push(database);
  return database;
}

/** A way to PostgreSQL that can be blocked: bytes are taken and go nowhere, as with a dead host or a paused server. */
async function blockableWay() {
  let blocked = false;
  const sockets = new Set<Socket>();
  const server: Server = createServer((client) => {
    const upstream = connectSocket(testDatabase.owner.port, testDatabase.owner.host);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on("data", (chunk) => blocked || to.write(chunk));
      from.on("error", () => {});
      from.on("close", () => blocked || to.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  opened.push({
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  });
  return {
    connection: { ...testDatabase.owner, port },
    block: () => {
      blocked = true;
    },
    unblock: () => {
      blocked = false;
    },
    openConnections: () => [...sockets].filter((socket) => !socket.destroyed).length / 2,
  };
}

const one = async (database: Database): Promise<unknown> => (await sql`SELECT 1 AS one`.execute(database.db)).rows;
const errorOf = async (work: Promise<unknown>): Promise<unknown> =>
  await work.then(
    () => undefined,
    (error: unknown) => error,
  );

test("values arrive as the table types say", async () => {
  const { db } = open();
  const id = "018f0000-0000-7000-8000-000000000001";
  await db.insertInto("organizations").values({ id, name: "Ada" }).execute();
  await db
    .insertInto("budgets")
    .values({ id, organization_id: id, level: "organization", limit_nanos: 9_007_199_254_740_993n })
    .execute();
  const budget = await db.selectFrom("budgets").selectAll().executeTakeFirstOrThrow();
  expect(budget).toMatchObject({ id, limit_nanos: 9_007_199_254_740_993n, frozen_at: null, subject: "" });
  expect(budget.created_at).toBeInstanceOf(Date);
  await db
    .insertInto("api_keys")
    .values({
      id,
      organization_id: id,
      owner_kind: "organization",
      name: "k",
      kind: "sk",
      environment: "live",
      scopes: ["ai:*", 'a,"b'],
      ip_allow: ["10.0.0.0/8"],
      limits: JSON.stringify([{ window: 60 }]),
      rev: 1n,
    })
    .execute();
  const key = await db.selectFrom("api_keys").selectAll().executeTakeFirstOrThrow();
  expect(key).toMatchObject({
    scopes: ["ai:*", 'a,"b'],
    ip_allow: ["10.0.0.0/8"],
    limits: [{ window: 60 }],
    budget_ids: [],
    metadata: {},
    models: null,
  });
  await db
    .insertInto("setup_codes")
    .values({ code_hash: Buffer.alloc(32, 7), expires_at: new Date(0) })
    .execute();
  expect((await db.selectFrom("setup_codes").select("code_hash").executeTakeFirstOrThrow()).code_hash).toEqual(
    Buffer.alloc(32, 7),
  );
});

test("a transaction keeps all or nothing, and one inside another joins it", async () => {
  const { db } = open();
  const names = async (): Promise<string[]> =>
    (await db.selectFrom("organizations").select("name").where("name", "like", "tx%").execute()).map((r) => r.name);
  const insert = (name: string) => sql`INSERT INTO organizations (id, name) VALUES (gen_random_uuid(), ${name})`;
  const failing = inTransaction(db, async (outer) => {
    await insert("tx-outer").execute(outer);
    await inTransaction(outer, async (inner) => await insert("tx-inner").execute(inner));
    throw new Error("no");
  });
  await expect(failing).rejects.toThrow("no");
  expect(await names()).toEqual([]);
  expect(await inTransaction(db, async (tx) => (await insert("tx-kept").execute(tx), "answer"))).toBe("answer");
  expect(await names()).toEqual(["tx-kept"]);
});

test("a unique violation is known by its constraint", async () => {
  const { db } = open();
  const user = { id: "018f0000-0000-7000-8000-000000000002", email: "Ada@example.com", name: "Ada" };
  await db.insertInto("users").values(user).execute();
  const error = await errorOf(
    db
      .insertInto("users")
      .values({ ...user, id: "018f0000-0000-7000-8000-000000000003", email: "ada@EXAMPLE.com" })
      .execute(),
  );
  expect(isUniqueViolation(error)).toBe(true);
  expect(isUniqueViolation(error, "users_email_key")).toBe(true);
  expect(isUniqueViolation(error, "users_pkey")).toBe(false);
  expect(isUnavailable(error)).toBe(false);
});

test("what trying again would not mend is not called unavailable", async () => {
  const database = open();
  expect(isUnavailable(await errorOf(sql`SELECT nothing`.execute(database.db)))).toBe(false);
  expect(isUnavailable(await errorOf(one(open({ ...testDatabase.owner, password: "wrong" }))))).toBe(false);
  expect([undefined, null, "x", new Error("x")].map(isUnavailable)).toEqual([false, false, false, false]);
});

test("a database that is away is unavailable at once, also for a name that has two addresses", async () => {
  const port = await freePort();
  for (const host of ["127.0.0.1", "localhost"]) {
    const database = open({ ...testDatabase.owner, host, port });
    expect(isUnavailable(await errorOf(one(database)))).toBe(true);
    expect(isUnavailable(await errorOf(database.ping()))).toBe(true);
  }
});

test("a database that accepts and never answers is unavailable within the connect timeout", async () => {
  const way = await blockableWay();
  way.block();
  const started = performance.now();
  expect(isUnavailable(await errorOf(one(open(way.connection, { connectTimeoutMs: 200 }))))).toBe(true);
  expect(performance.now() - started).toBeLessThan(5000);
});

test("a connection that stops answering is given up after its deadline, once for the whole transaction, and replaced", async () => {
  const way = await blockableWay();
  const database = open(way.connection, { statementTimeoutMs: 200, connectTimeoutMs: 500, poolSize: 1 });
  await one(database);
  const started = performance.now();
  const error = await errorOf(
    inTransaction(database.db, async (tx) => {
      await sql`SELECT 1`.execute(tx);
      way.block();
      await sql`SELECT 2`.execute(tx);
    }),
  );
  expect(isUnavailable(error)).toBe(true);
  // One read timeout of 1.2 s, not another one for the ROLLBACK.
  expect(performance.now() - started).toBeLessThan(2300);
  way.unblock();
  expect(await one(database)).toEqual([{ one: 1 }]);
});

test("a connection that is cut inside a transaction costs that transaction, not the process", async () => {
  const database = open(testDatabase.owner, { applicationName: "to be cut", poolSize: 1 });
  const error = await errorOf(
    inTransaction(database.db, async (tx) => {
      await sql`SELECT 1`.execute(tx);
      await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'to be cut'`.execute(open().db);
      // Nothing is under way on it at that moment: the loss arrives as an event.
      await waitFor(
        async () =>
          (await sql`SELECT FROM pg_stat_activity WHERE application_name = 'to be cut'`.execute(open().db)).rows.length === 0,
      );
      await sql`SELECT 2`.execute(tx);
    }),
  );
  expect(isUnavailable(error)).toBe(true);
  expect(await one(database)).toEqual([{ one: 1 }]);
});

test("a ping ends with its signal, and what it used is not used again", async () => {
  const way = await blockableWay();
  const database = open(way.connection, { poolSize: 1 });
  await database.ping(AbortSignal.timeout(5000));
  way.block();
  const error = await errorOf(database.ping(AbortSignal.timeout(100)));
  expect((error as Error).message).toBe("PostgreSQL did not answer in time");
  way.unblock();
  await database.ping(AbortSignal.timeout(5000));
  await waitFor(() => way.openConnections() === 1);
});

test("a ping that waits for a full pool ends with its signal and leaves the pool whole", async () => {
  const database = open(testDatabase.owner, { poolSize: 1 });
  const release = Promise.withResolvers<void>();
  const holding = inTransaction(database.db, async (tx) => {
    await sql`SELECT 1`.execute(tx);
    await expect(database.ping(AbortSignal.timeout(50))).rejects.toThrow("did not answer in time");
    release.resolve();
  });
  await release.promise;
  await holding;
  expect(await one(database)).toEqual([{ one: 1 }]);
});

test("a full pool is unavailable, not a wait without end", async () => {
  const database = open(testDatabase.owner, { poolSize: 1, connectTimeoutMs: 100 });
  await inTransaction(database.db, async (tx) => {
    await sql`SELECT 1`.execute(tx);
    expect(isUnavailable(await errorOf(one(database)))).toBe(true);
  });
});

test("idle connections that the server ends are replaced, and somebody hears of it", async () => {
  const heard: Error[] = [];
  const database = open(testDatabase.owner, { onError: (error) => heard.push(error), applicationName: "to be ended" });
  await one(database);
  await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'to be ended'`.execute(open().db);
  await waitFor(() => heard.length > 0);
  expect(isUnavailable(heard[0])).toBe(true);
  expect(await one(database)).toEqual([{ one: 1 }]);
});

test("a slow statement, and a transaction left open, are ended by the server", async () => {
  const database = open(testDatabase.owner, { statementTimeoutMs: 100 });
  const slow = await errorOf(sql`SELECT pg_sleep(20)`.execute(database.db));
  expect([isUnavailable(slow), (slow as { code?: string }).code]).toEqual([true, "57014"]);
  const { rows } = await sql<{ idle: string }>`SELECT current_setting('idle_in_transaction_session_timeout') AS idle`.execute(
    database.db,
  );
  expect(rows).toEqual([{ idle: "200ms" }]);
});

test("migrations that a database has not had are named; one that is ahead of this code is ready", async () => {
  const empty = await createTestDatabase({ empty: true });
  const database = open(empty.owner);
  const pending = await database.pendingMigrations();
  expect(pending[0]).toBe("20261123T0900_create_partitioning.sql");
  await database.close();
  await empty.drop();

  const current = open(testDatabase.api);
  expect(await current.pendingMigrations()).toEqual([]);
  await sql`INSERT INTO schema_migrations VALUES ('29991231T2359_of_a_newer_release.sql', 'x', now(), 1)`.execute(open().db);
  expect(await current.pendingMigrations()).toEqual([]);
  await expect(pendingMigrations(current.db, "/nowhere")).rejects.toThrow("ENOENT");
});

test("closing twice is closing once, and afterwards the database is unavailable", async () => {
  const database = open();
  await one(database);
  await Promise.all([database.close(), database.close()]);
  expect(isUnavailable(await errorOf(one(database)))).toBe(true);
});

test("a transaction that hangs does not keep the database from closing", async () => {
  const database = open(testDatabase.owner, { closeTimeoutMs: 100 });
  const release = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  const hanging = inTransaction(database.db, async (tx) => {
    await sql`SELECT 1`.execute(tx);
    started.resolve();
    await release.promise;
  });
  await started.promise;
  await database.close();
  release.resolve();
  await hanging;
});
