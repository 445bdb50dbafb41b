/**
 * What a process holds of a budget stays what PostgreSQL says it holds, when the answer to a grant or to a block given back never
 * comes, and when the statement itself arrives after everybody has given it up.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { openAuditWriter } from "@nexus/audit";
import { newId, newUuid, systemClock } from "@nexus/core";
import { type Database, openDatabase } from "@nexus/db";
import { createTestDatabase, type TestDatabase, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { Budgets } from "./budgets.ts";

const limit = 1000n;
/** `deaf`: statements arrive, and the connection ends before their answers. `held`: statements wait here, and the connection ends. */
type Wire = "open" | "deaf" | "held";

let database: TestDatabase;
let owner: Database;
let server: Server;
let wire: Wire = "open";
/** Statements that are still on their way. */
let held: { far: Socket; bytes: Buffer }[] = [];
const sockets: Socket[] = [];
let ai: Database;
let budgets: Budgets;
let organizationId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  owner = database.openOwner();
});
afterAll(() => database.drop());
beforeEach(async () => {
  wire = "open";
  server = createServer(join).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  ai = openDatabase({ ...database.ai, host: "127.0.0.1", port }, { applicationName: "lost-answers" });
  const audit = openAuditWriter({ clock: systemClock, macKey: "k".repeat(32) });
  const logger = { warn: () => {} };
  budgets = new Budgets({ db: ai.db, audit, clock: systemClock, logger, processId: newUuid(), defaultBudget: undefined });
  organizationId = newUuid();
  await owner.db.insertInto("organizations").values({ id: organizationId, name: "o" }).execute();
  const budget = { id: newUuid(), organization_id: organizationId, level: "organization" as const, limit_nanos: limit };
  await owner.db.insertInto("budgets").values(budget).execute();
});
afterEach(async () => {
  budgets.close();
  await ai.close();
  for (const socket of sockets.splice(0)) socket.destroy();
  held = [];
  server.close();
});

function join(near: Socket): void {
  const far = connect(database.ai.port, database.ai.host);
  sockets.push(near, far);
  for (const socket of [near, far]) socket.on("error", () => {});
  near.on("data", (bytes) => {
    if (wire === "held") {
      held.push({ far, bytes });
      near.destroy();
    } else far.write(bytes);
  });
  far.on("data", (bytes) => (wire === "deaf" ? near.destroy() : near.write(bytes)));
  far.once("close", () => near.destroy());
}

const reserve = (amount: bigint) =>
  budgets.reserve({
    payer: { organizationId, userId: null, keyId: null, tags: [], budgetIds: [], session: null },
    model: "m",
    amount,
    requestId: newId("request"),
  });
const granted = async () =>
  (
    await owner.db
      .selectFrom("budget_accounts")
      .innerJoin("budgets", "budgets.id", "budget_accounts.budget_id")
      .select("granted_nanos")
      .where("organization_id", "=", organizationId)
      .executeTakeFirst()
  )?.granted_nanos;
const grantedIs = (amount: bigint) => waitFor(async () => (await granted()) === amount, { what: `${amount} set aside` });

test("a block of which no answer told is found, spent and given back", async () => {
  const running = await reserve(100n);
  wire = "deaf";
  await expect(reserve(600n)).rejects.toThrow();
  await grantedIs(700n);
  wire = "open";
  // It would be refused if those 600 were anybody else's.
  const second = await reserve(900n);
  expect(await granted()).toBe(limit);
  running.settle(0n);
  second.settle(0n);
  await grantedIs(0n);
});

test("a block of which no answer told goes back without another call", async () => {
  const running = await reserve(100n);
  wire = "deaf";
  await expect(reserve(600n)).rejects.toThrow();
  await grantedIs(700n);
  wire = "open";
  await grantedIs(100n);
  running.settle(0n);
  await grantedIs(0n);
});

test("a block given back without an answer is neither spent nor given back again", async () => {
  const running = await reserve(100n);
  (await reserve(300n)).settle(0n);
  wire = "deaf";
  await grantedIs(100n);
  wire = "open";
  const rest = await reserve(900n);
  expect(await granted()).toBe(limit);
  await expect(reserve(1n)).rejects.toMatchObject({ code: "budget_exceeded" });
  rest.settle(0n);
  running.settle(0n);
  await grantedIs(0n);
});

test("a statement that arrives after it was given up does nothing", async () => {
  const running = await reserve(100n);
  (await reserve(300n)).settle(0n);
  wire = "held";
  await waitFor(() => held.length > 0, { what: "a block that is given back" });
  wire = "open";
  // The block is still ours, and a call holds it when the old statement comes in.
  const second = await reserve(300n);
  expect(await granted()).toBe(400n);
  const answered = held.map(async ({ far, bytes }) => {
    far.write(bytes);
    await once(far, "data");
  });
  await Promise.all(answered);
  expect(await granted()).toBe(400n);
  second.settle(0n);
  running.settle(0n);
  await grantedIs(0n);
});

test("a question that arrives after it was given up raises the fence, and what is given back then is asked for again", async () => {
  // Connections that stand, so that the question itself is what is held up.
  await Promise.all(Array.from({ length: 6 }, () => sql`SELECT pg_sleep(0.2)`.execute(ai.db)));
  const [running, second] = [await reserve(100n), await reserve(300n)];
  wire = "deaf";
  await expect(reserve(200n)).rejects.toThrow();
  wire = "held";
  const late = () => held.filter(({ bytes }) => bytes.includes("fence + 1"));
  await waitFor(() => late().length > 0, { what: "a question about the grant" });
  wire = "open";
  const again = await reserve(300n);
  for (const { far, bytes } of late()) {
    far.write(bytes);
    await once(far, "data");
  }
  for (const reservation of [second, again, running]) reservation.settle(0n);
  await grantedIs(0n);
});
