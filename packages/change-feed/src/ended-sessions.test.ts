/** Which sessions have ended, on a real change feed. */
import { newId, systemClock, uuidOf } from "@nexus/core";
import { type Database, openDatabase } from "@nexus/db";
import { createTestDatabase, recordTestChange, type TestDatabase, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { ChangeFeed } from "./change-feed.ts";
import { type EndedSessions, openEndedSessions } from "./ended-sessions.ts";
import { openChangeFeed } from "./open-change-feed.ts";

let database: TestDatabase;
let owner: Database;
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  owner = database.openOwner();
});
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(() => database.drop());

async function opened(blindSeconds = 60): Promise<{ feed: ChangeFeed; ended: EndedSessions; follower: Database }> {
  const follower = openDatabase(database.ai, { applicationName: "feed", poolSize: 1, statementTimeoutMs: 900 });
  const feed = openChangeFeed({
    database: follower,
    clock: systemClock,
    logger: { info: () => {}, warn: () => {} },
    service: "test",
    node: "test",
    blindSeconds,
  });
  const ended = openEndedSessions(feed, { ofFeed: follower.db, ofService: follower.db });
  closing.push(() => feed.close());
  await feed.start();
  return { feed, ended, follower };
}

const token = (issuedAt = Date.now()) => ({ sessionId: newId("session"), userId: newId("user"), issuedAt });
const end = (kind: "session" | "user", id: string) => recordTestChange(owner, kind, uuidOf(kind, id)!);

it("an ended session is known before the feed says so, and no other one ends with it", async () => {
  const { feed, ended } = await opened();
  const [one, other] = [token(), token()];
  expect(await ended.includes(one)).toBe(false);
  const rev = await end("session", one.sessionId);
  await waitFor(() => feed.position().rev >= rev);
  expect(await ended.includes(one)).toBe(true);
  // Whenever its tokens say that they were made.
  expect(await ended.includes({ ...one, issuedAt: Date.now() + 60_000 })).toBe(true);
  expect(await ended.includes(other)).toBe(false);
});

it("a process that starts afterwards knows it too, and forgets what no token can outlive", async () => {
  const [recent, old] = [token(), token()];
  await end("session", recent.sessionId);
  const rev = await end("session", old.sessionId);
  await sql`UPDATE changes SET recorded_at = now() - interval '6 minutes' WHERE rev = ${rev}`.execute(owner.db);
  const { ended } = await opened();
  expect(await ended.includes(recent)).toBe(true);
  expect(await ended.includes(old)).toBe(false);
});

it("a changed person's earlier tokens end, those made later do not", async () => {
  const before = token();
  const rev = await end("user", before.userId);
  const { feed, ended } = await opened();
  expect(feed.position().rev).toBe(rev);
  expect(await ended.includes(before)).toBe(true);
  expect(await ended.includes({ ...before, issuedAt: Date.now() + 10_000 })).toBe(false);
});

it("who has not followed the feed for longer than it may asks PostgreSQL, and cannot tell without it", async () => {
  const { feed, ended } = await opened(1);
  const [one, other] = [token(), token()];
  await sql`ALTER TABLE verifier_leases RENAME TO hidden_leases`.execute(owner.db);
  try {
    await waitFor(() => feed.lease.blindForMs() >= 1000);
    await end("session", one.sessionId);
    expect(await ended.includes(one)).toBe(true);
    expect(await ended.includes(other)).toBe(false);
    await sql`ALTER TABLE changes RENAME TO hidden_changes`.execute(owner.db);
    await expect(ended.includes(other)).rejects.toMatchObject({ code: "unavailable" });
    await sql`ALTER TABLE hidden_changes RENAME TO changes`.execute(owner.db);
  } finally {
    await sql`ALTER TABLE hidden_leases RENAME TO verifier_leases`.execute(owner.db);
  }
  await waitFor(() => feed.lease.isSighted());
  expect(await ended.includes(one)).toBe(true);
});
