/** What is frozen, on a real change feed. */
import { type ChangeFeed, openChangeFeed } from "@nexus/change-feed";
import { newId, newUuid, systemClock, uuidOf } from "@nexus/core";
import { type Database, openDatabase } from "@nexus/db";
import { createTestDatabase, recordTestChange, type TestDatabase, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { type FreezableUse, type Freezes, openFreezes } from "./freezes.ts";

let database: TestDatabase;
let owner: Database;
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  owner = database.openOwner();
});
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
  await sql`UPDATE freezes SET thawed_at = now(), thawed_by = id WHERE thawed_at IS NULL`.execute(owner.db);
});
afterAll(() => database.drop());

async function opened(blindSeconds = 60): Promise<{ feed: ChangeFeed; freezes: Freezes }> {
  const follower = openDatabase(database.ai, { applicationName: "feed", poolSize: 1, statementTimeoutMs: 900 });
  const feed = openChangeFeed({
    database: follower,
    clock: systemClock,
    logger: { info: () => {}, warn: () => {} },
    service: "test",
    node: "test",
    blindSeconds,
  });
  const freezes = openFreezes(feed, follower.db);
  closing.push(() => feed.close());
  await feed.start();
  return { feed, freezes };
}

type Target = { kind: "everything" | "organization" | "owner" | "environment" | "model" | "provider" | "key"; target?: string };

/** @returns the revision */
async function freeze({ kind, target = "" }: Target, organizationId: string | null = null): Promise<number> {
  const id = newUuid();
  const organization = organizationId === null ? null : (uuidOf("organization", organizationId) ?? "");
  await owner.db
    .insertInto("freezes")
    .values({
      id,
      authority: "platform",
      target_kind: kind,
      target,
      organization_id: organization,
      reason: "test",
      created_by: id,
      rev: 0n,
    })
    .execute();
  return await recordTestChange(owner, "freeze", id);
}

const use: Required<FreezableUse> = {
  organizationId: newId("organization"),
  ownerUserId: newId("user"),
  environment: "live",
  keyId: newId("key"),
  model: "some-model",
  provider: "some-provider",
};

it.each<Target>([
  { kind: "everything" },
  { kind: "organization", target: use.organizationId },
  { kind: "owner", target: use.ownerUserId ?? "" },
  { kind: "environment", target: use.environment },
  { kind: "key", target: use.keyId },
  { kind: "model", target: use.model },
  { kind: "provider", target: use.provider },
])("a freeze of $kind is known before the feed says that it is applied, and refuses what it names", async (target) => {
  const { feed, freezes } = await opened();
  expect(freezes.any).toBe(false);
  const rev = await freeze(target);
  await waitFor(() => feed.position().rev >= rev);
  expect(freezes.any).toBe(true);
  expect(freezes.refuses(use)).toBe(true);
  const other = {
    organizationId: newId("organization"),
    ownerUserId: null,
    environment: "test",
    keyId: newId("key"),
    model: "m",
  };
  expect(freezes.refuses(other)).toBe(target.kind === "everything");
  await sql`UPDATE freezes SET thawed_at = now(), thawed_by = id WHERE thawed_at IS NULL`.execute(owner.db);
  const thawed = await recordTestChange(owner, "freeze", newUuid());
  await waitFor(() => feed.position().rev >= thawed);
  expect(freezes.refuses(use)).toBe(false);
  expect(freezes.any).toBe(false);
});

it("a freeze within one organization leaves the others alone", async () => {
  await freeze({ kind: "environment", target: "live" }, use.organizationId);
  const { freezes } = await opened();
  expect(freezes.refuses(use)).toBe(true);
  expect(freezes.refuses({ ...use, organizationId: newId("organization") })).toBe(false);
});

it("whoever cannot load the list is blind, and for no longer than the blind seconds relies on what it knew", async () => {
  const { feed, freezes } = await opened(1);
  await sql`REVOKE SELECT ON freezes FROM nexus_ai`.execute(owner.db);
  const rev = await freeze({ kind: "everything" });
  await waitFor(() => !feed.lease.isSighted());
  expect(feed.position().rev).toBeLessThan(rev);
  expect(freezes.isKnown()).toBe(true);
  expect(freezes.refuses(use)).toBe(false);
  await waitFor(() => feed.lease.blindForMs() >= 1000);
  expect(freezes.isKnown()).toBe(false);
  await sql`GRANT SELECT ON freezes TO nexus_ai`.execute(owner.db);
  await waitFor(() => feed.lease.isSighted());
  expect(freezes.isKnown()).toBe(true);
  expect(freezes.refuses(use)).toBe(true);
});
