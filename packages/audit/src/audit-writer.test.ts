import { systemClock, toId, newUuid } from "@nexus/core";
import { type Database, inTransaction, openDatabase } from "@nexus/db";
import { createTestDatabase } from "@nexus/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type AuditBody, canonicalEntry, commitmentOf, macOf, writerMacKey } from "./audit-entry.ts";
import { type AuditEntry, openAuditWriter } from "./audit-writer.ts";

const macKey = "test-key-of-the-audit-writers-0123456789";
const organization = toId("organization", newUuid());
const entry: AuditEntry = {
  action: "session.created",
  outcome: "success",
  organizationId: organization,
  actor: { kind: "person", id: "usr_1" },
  targets: [{ kind: "session", id: "ses_1" }],
  context: { request_id: "req_1", ip: "203.0.113.9", user_agent: "curl/8" },
  details: { before: null, after: { amr: ["pwd"], weight: 1e21, ratio: 0.1, gone: undefined } },
  personal: { email: "ann@example.org" },
};

let testDatabase: Awaited<ReturnType<typeof createTestDatabase>>;
let api: Database;
let keys: Database;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  api = openDatabase(testDatabase.api, { applicationName: "audit test" });
  keys = openDatabase(testDatabase.keys, { applicationName: "audit test keys" });
});
afterAll(async () => {
  await Promise.all([api.close(), keys.close()]);
  await testDatabase.drop();
});

async function rowsOf(writerId: string) {
  return await api.db.selectFrom("audit_log").selectAll().where("writer_id", "=", writerId).orderBy("writer_seq").execute();
}

function bodyOf(row: Awaited<ReturnType<typeof rowsOf>>[number]): AuditBody {
  return { ...row, occurred_at: row.occurred_at.toISOString(), writer_seq: String(row.writer_seq) } as unknown as AuditBody;
}

test("the stored bytes, the MAC and the commitments re-verify against the row", async () => {
  const writer = openAuditWriter({ clock: systemClock, macKey });
  await inTransaction(api.db, (tx) => writer.write(tx, entry));
  const [row] = await rowsOf(writer.writerId);
  expect(canonicalEntry(bodyOf(row!))).toEqual(row!.canonical);
  expect(macOf(writerMacKey(macKey, writer.writerId), row!.canonical)).toEqual(row!.mac);

  const personal = await api.db.selectFrom("audit_personal").selectAll().where("entry_id", "=", row!.id).execute();
  const stored = JSON.parse(row!.canonical.toString()) as Record<string, Record<string, string>>;
  expect(personal.map((p) => p.field).toSorted()).toEqual(["context.ip", "context.user_agent", "details.email"]);
  for (const { field, salt, value } of personal) {
    const [part, name] = field.split(".");
    expect(stored[part!]![name!]).toBe(commitmentOf(salt, value));
  }
  expect(row!.canonical.toString()).not.toMatch(/203\.0\.113\.9|curl\/8|ann@example\.org/);
  const inbox = await api.db.selectFrom("audit_inbox").selectAll().where("entry_id", "=", row!.id).execute();
  expect(inbox).toEqual([{ entry_id: row!.id, recorded_at: row!.recorded_at }]);
});

test("a change that is rolled back leaves no audit row", async () => {
  const writer = openAuditWriter({ clock: systemClock, macKey });
  const change = inTransaction(api.db, async (tx) => {
    await writer.write(tx, entry);
    throw new Error("the change failed");
  });
  await expect(change).rejects.toThrow("the change failed");
  expect(await rowsOf(writer.writerId)).toEqual([]);
});

test("a role that may not read the log can write to it", async () => {
  const writer = openAuditWriter({ clock: systemClock, macKey });
  await inTransaction(keys.db, (tx) => writer.write(tx, { ...entry, personal: undefined, context: {} }));
  await expect(keys.db.selectFrom("audit_log").selectAll().execute()).rejects.toThrow(/permission denied/);
  expect(await rowsOf(writer.writerId)).toHaveLength(1);
});

test("concurrent entries of one writer get numbers without a gap or a double", async () => {
  const writer = openAuditWriter({ clock: systemClock, macKey });
  await Promise.all(Array.from({ length: 20 }, () => inTransaction(api.db, (tx) => writer.write(tx, entry))));
  const seqs = (await rowsOf(writer.writerId)).map((row) => Number(row.writer_seq));
  expect(seqs).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
});

test("text that PostgreSQL cannot store is written changed, never refused", async () => {
  const writer = openAuditWriter({ clock: systemClock, macKey });
  const hostile = "a\u0000b\ud800c";
  await inTransaction(api.db, (tx) =>
    writer.write(tx, {
      ...entry,
      context: { user_agent: hostile.repeat(1000) },
      details: { [hostile]: hostile },
      personal: { email: hostile },
    }),
  );
  const [row] = await rowsOf(writer.writerId);
  expect(canonicalEntry(bodyOf(row!))).toEqual(row!.canonical);
  expect(JSON.parse(row!.canonical.toString())).toMatchObject({ details: { "a\ufffdb\ufffdc": "a\ufffdb\ufffdc" } });
});

test("two writers never share a MAC key", () => {
  expect(writerMacKey(macKey, newUuid())).not.toEqual(writerMacKey(macKey, newUuid()));
});
