import { Problem } from "@nexus/core";
import { createTestDatabase, type TestDatabase } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { inTransaction } from "./in-transaction.ts";
import { type Database, openDatabase } from "./open-database.ts";
import { type RepeatableRequest, withIdempotency } from "./with-idempotency.ts";

let test: TestDatabase;
let owner: Database;
let database: Database;
let nextKey = 0;
let request: RepeatableRequest;

beforeAll(async () => {
  test = await createTestDatabase();
  owner = test.openOwner();
  database = openDatabase(test.keys, { applicationName: "test", poolSize: 10 });
});
afterAll(async () => {
  await database.close();
  await test.drop();
});
beforeEach(() => {
  request = { service: "pv-keys", caller: "usr_1", key: `key-${nextKey++}`, content: { name: "x" }, holdsSecret: false };
});

/** What a request does here: one row of the change feed, which counts. */
async function once(
  work: () => Promise<unknown> = () => Promise.resolve({ done: true }),
  change: Partial<RepeatableRequest> = {},
) {
  return await inTransaction(database.db, (tx) => withIdempotency(tx, { ...request, ...change }, work));
}

async function codeOf(attempt: Promise<unknown>): Promise<string> {
  const error: unknown = await attempt.then(
    () => undefined,
    (fault: unknown) => fault,
  );
  return error instanceof Problem ? error.code : String(error);
}

it("does the work once, and answers the repetition with the same answer", async () => {
  let runs = 0;
  const work = () => Promise.resolve({ run: ++runs, rev: 7, list: [1, null, "ä"] });
  const first = await once(work);
  expect(first).toEqual({ answer: { run: 1, rev: 7, list: [1, null, "ä"] }, replayed: false });
  expect(await once(work)).toEqual({ ...first, replayed: true });
  expect(runs).toBe(1);
});

it("another content under the same key is refused, and does nothing", async () => {
  await once();
  expect(await codeOf(once(() => Promise.reject(new Error("ran")), { content: { name: "y" } }))).toBe("idempotency_mismatch");
});

it("an answer that held a secret is stored nowhere, and its repetition is told so", async () => {
  await once(() => Promise.resolve({ secret: "hunter2" }), { holdsSecret: true });
  const stored = await owner.db.selectFrom("idempotency_keys").selectAll().where("key", "=", request.key).execute();
  expect(stored).toHaveLength(1);
  expect(JSON.stringify(stored)).not.toContain("hunter2");
  expect(await codeOf(once(undefined, { holdsSecret: true }))).toBe("secret_not_replayable");
  expect(await codeOf(once(undefined, { holdsSecret: true, content: 1 }))).toBe("idempotency_mismatch");
});

it("whoever repeats a request whose answer held a secret is told what it made", async () => {
  const secret = { ...request, holdsSecret: true };
  const repeat = () =>
    inTransaction(database.db, (tx) =>
      withIdempotency(
        tx,
        secret,
        () => Promise.resolve({ id: "key_1" }),
        ({ id }) => [id],
      ),
    );
  await repeat();
  await expect(repeat()).rejects.toMatchObject({ code: "secret_not_replayable", extensions: { created: ["key_1"] } });
});

it("the same key of another caller, and of another service, is another key", async () => {
  expect((await once()).replayed).toBe(false);
  expect((await once(undefined, { caller: "usr_2", content: 2 })).replayed).toBe(false);
  expect((await once(undefined, { service: "puaboai-sdk", content: 3 })).replayed).toBe(false);
});

it("what failed left nothing behind and may be tried again", async () => {
  expect(await codeOf(once(() => Promise.reject(new Problem("conflict"))))).toBe("conflict");
  expect((await once()).replayed).toBe(false);
});

it("while the first runs, the second is told to come back; of many at once the work is done once", async () => {
  const { promise: hold, resolve: release } = Promise.withResolvers<void>();
  const { promise: started, resolve: start } = Promise.withResolvers<void>();
  const first = once(async () => {
    start();
    await hold;
    return { by: "first" };
  });
  await started;
  const refused = await once().catch((error: unknown) => error as Problem);
  expect(refused).toMatchObject({ code: "idempotency_in_progress", headers: { "retry-after": "1" } });
  release();
  await first;
  expect(await once()).toEqual({ answer: { by: "first" }, replayed: true });

  request = { ...request, key: "many" };
  let runs = 0;
  const attempts = Array.from({ length: 8 }, () => once(() => Promise.resolve({ run: ++runs })));
  const answers = await Promise.allSettled(attempts);
  expect(answers.filter(({ status }) => status === "fulfilled").length).toBeGreaterThanOrEqual(1);
  expect(runs).toBe(1);
});

it("a connection that dies in the middle frees its key and leaves nothing", async () => {
  const first = once(async () => {
    await owner.db.executeQuery(
      sql`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()`.compile(
        owner.db,
      ),
    );
    return {};
  });
  await expect(first).rejects.toThrow();
  expect((await once()).replayed).toBe(false);
});

it("after 24 hours a key is new again, and the old rows go", async () => {
  await once();
  await owner.db
    .updateTable("idempotency_keys")
    .set({ expires_at: new Date(Date.now() - 1000) })
    .execute();
  expect((await once(undefined, { content: "other" })).replayed).toBe(false);
  const rows = await owner.db.selectFrom("idempotency_keys").select("key").execute();
  expect(rows.map(({ key }) => key)).toEqual([request.key]);
});

it("outside of a transaction it refuses to work", async () => {
  await expect(withIdempotency(database.db, request, () => Promise.resolve({}))).rejects.toThrow("needs a transaction");
});
