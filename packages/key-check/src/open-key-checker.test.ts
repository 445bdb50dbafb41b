/** The checker on the real change feed; the source of its answers is as slow, wrong or absent as a test wants. */
import { createHash } from "node:crypto";
import { type ChangeFeed, openChangeFeed } from "@nexus/change-feed";
import type { KeyRecord } from "@nexus/contracts/key-record";
import { generateApiKey, newUuid, Problem, systemClock, uuidOf } from "@nexus/core";
import { type Database, openDatabase } from "@nexus/db";
import { createTestDatabase, recordTestChange, someKeyRecord, type TestDatabase, waitFor } from "@nexus/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openFreezes } from "./freezes.ts";
import type { Found, KeySource } from "./key-source.ts";
import { type KeyChecker, openKeyChecker } from "./open-key-checker.ts";

let database: TestDatabase;
let owner: Database;
let asked: string[];
/** Which keys were counted as used, in order. */
let noted: string[];
/** What the source says; by default what is true now. */
let answerWith: (digest: string, minRev: number) => Promise<Found>;
let records: Map<string, KeyRecord>;
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  owner = database.openOwner();
});
beforeEach(() => {
  asked = [];
  noted = [];
  records = new Map();
  answerWith = truth;
});
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(() => database.drop());

async function truth(digest: string): Promise<Found> {
  const { generation, rev } = await owner.db.selectFrom("change_counter").selectAll().executeTakeFirstOrThrow();
  return { record: records.get(digest) ?? null, generation, asOf: Number(rev) };
}

async function opened(options: { blindSeconds?: number; maxPending?: number; listens?: (feed: ChangeFeed) => void } = {}) {
  const source: KeySource = {
    find: (digest, minRev) => {
      const text = digest.toString("base64url");
      asked.push(text);
      return answerWith(text, minRev);
    },
    close: () => Promise.resolve(),
  };
  const feed = openChangeFeed({
    database: openDatabase(database.ai, { applicationName: "feed", poolSize: 1, statementTimeoutMs: 900 }),
    clock: systemClock,
    logger: { info: () => {}, warn: () => {} },
    service: "test",
    node: "test",
    blindSeconds: options.blindSeconds ?? 60,
  });
  options.listens?.(feed);
  const { maxPending } = options;
  const checker = openKeyChecker({
    feed,
    freezes: openFreezes(feed, owner.db),
    source,
    uses: { note: ({ record }) => void noted.push(record?.key_id ?? ""), close: () => Promise.resolve() },
    clock: systemClock,
    loadFormats: () => Promise.resolve([]),
    ...(maxPending && { maxPending }),
  });
  closing.push(() => feed.close());
  await feed.start();
  return { checker, feed };
}

function issue(change: Partial<KeyRecord> = {}): { key: string; record: KeyRecord } {
  const { key } = generateApiKey(change.kind ?? "sk", "live");
  const record = someKeyRecord(change);
  records.set(digestOf(key), record);
  return { key, record };
}

function digestOf(key: string): string {
  return createHash("sha256").update(key).digest("base64url");
}

/** Changes what is true and says so in the feed. */
async function change(key: string, change: Partial<KeyRecord>): Promise<number> {
  const record = records.get(digestOf(key))!;
  records.set(digestOf(key), { ...record, ...change });
  return await recordTestChange(owner, "key", uuidOf("key", record.key_id)!);
}

const unavailable = (checker: KeyChecker, key: string): Promise<boolean> =>
  checker.check(key).then(
    () => false,
    (error: unknown) => error instanceof Problem && error.code === "unavailable",
  );

describe("while the feed is followed", () => {
  it("a decision is one use of the key, and a second look at it none", async () => {
    const { checker } = await opened();
    const { key, record } = issue();
    await checker.check(key);
    expect(checker.known(key)).toMatchObject({ valid: true });
    expect(checker.peek(key)).toBe(checker.known(key));
    expect(noted).toEqual([record.key_id, record.key_id, record.key_id]);
    const { key: unheard } = issue();
    expect([checker.peek(unheard), checker.known(unheard), checker.peek("x")?.valid]).toEqual([undefined, undefined, false]);
    expect(noted).toHaveLength(3);
  });

  it("asks once for a key, and answers by itself for as long as nothing changes", async () => {
    const { checker } = await opened();
    const { key, record } = issue();
    expect(checker.known(key)).toBeUndefined();
    const answers = await Promise.all(Array.from({ length: 100 }, () => checker.check(key)));
    expect(answers[0]).toEqual({ ...record, valid: true });
    expect(checker.known(key)).toEqual({ ...record, valid: true });
    expect(asked).toEqual([digestOf(key)]);
  });

  it("a revoked key is refused from the moment on that the feed says so, and a disabled one lives again when it is enabled", async () => {
    const { checker, feed } = await opened();
    const { key } = issue();
    await checker.check(key);
    const disabled = await change(key, { state: "disabled" });
    await waitFor(() => feed.position().rev >= disabled);
    expect(await checker.check(key)).toEqual({ valid: false, code: "disabled" });
    const enabled = await change(key, { state: "active" });
    await waitFor(() => feed.position().rev >= enabled);
    expect(await checker.check(key)).toMatchObject({ valid: true });
    const revoked = await change(key, { state: "revoked" });
    await waitFor(() => feed.position().rev >= revoked);
    expect(checker.known(key)).toBeUndefined();
    expect(await checker.check(key)).toEqual({ valid: false, code: "revoked" });
    expect(checker.known(key)).toEqual({ valid: false, code: "revoked" });
  });

  it("an answer that was under way while the key was revoked is not kept, and a check that starts afterwards does not get it", async () => {
    const { checker, feed } = await opened();
    const { key } = issue();
    const slow = Promise.withResolvers<void>();
    answerWith = async (digest) => {
      const before = await truth(digest);
      await slow.promise;
      return before;
    };
    const early = checker.check(key);
    await waitFor(() => asked.length === 1);
    const revoked = await change(key, { state: "revoked" });
    await waitFor(() => feed.position().rev >= revoked);
    answerWith = truth;
    const late = checker.check(key);
    expect(await late).toEqual({ valid: false, code: "revoked" });
    slow.resolve();
    await early;
    expect(await checker.check(key)).toEqual({ valid: false, code: "revoked" });
  });

  it("an answer that is older than what this process knows is never given", async () => {
    const { checker, feed } = await opened();
    const { key } = issue();
    const stale = await truth(digestOf(key));
    const revoked = await change(key, { state: "revoked" });
    await waitFor(() => feed.position().rev >= revoked);
    answerWith = () => Promise.resolve(stale);
    expect(await unavailable(checker, key)).toBe(true);
  });

  it("what stood for no key is a key once it is made", async () => {
    const { checker, feed } = await opened();
    const { key } = issue();
    const record = records.get(digestOf(key))!;
    records.delete(digestOf(key));
    expect(await checker.check(key)).toEqual({ valid: false, code: "not_found" });
    expect(checker.known(key)).toEqual({ valid: false, code: "not_found" });
    records.set(digestOf(key), record);
    const made = await recordTestChange(owner, "key", uuidOf("key", record.key_id)!);
    await waitFor(() => feed.position().rev >= made);
    expect(await checker.check(key)).toMatchObject({ valid: true });
  });

  it("a key is expired from its own moment on, by PostgreSQL's time and whatever this machine's clock says", async () => {
    const { checker } = await opened();
    const { key } = issue({ expires_at: new Date(Date.now() + 400).toISOString() });
    expect(await checker.check(key)).toMatchObject({ valid: true });
    await waitFor(async () => !(await checker.check(key)).valid, { timeoutMs: 2000 });
    expect(await checker.check(key)).toEqual({ valid: false, code: "expired" });
    expect(asked).toHaveLength(1);
  });

  it.each([
    ["an empty text", ""],
    ["a wrong checksum", `${generateApiKey("sk", "live").key.slice(0, -1)}_`],
    ["a mistyped character", generateApiKey("sk", "live").key.replace(/.(?=.{20}$)/, (c) => (c === "x" ? "y" : "x"))],
    ["one character too many", `${generateApiKey("sk", "live").key}0`],
    ["an unknown kind", generateApiKey("sk", "live").key.replace("pv_sk", "pv_xx")],
    ["an invisible character", `${generateApiKey("sk", "live").key}\u200b`],
    ["a line break", `${generateApiKey("sk", "live").key}\n`],
    ["a megabyte", "pv_sk_live_".padEnd(1_000_000, "a")],
  ])("%s is no key, and nobody is asked", async (_what, text) => {
    const { checker } = await opened();
    expect(await checker.check(text)).toEqual({ valid: false, code: "not_found" });
    expect(checker.known(text)).toEqual({ valid: false, code: "not_found" });
    expect(asked).toEqual([]);
  });

  it("a key that nobody can tell about is unavailable and not refused; so is one too many at once", async () => {
    const { checker } = await opened({ maxPending: 2 });
    answerWith = () => Promise.reject(new Error("away"));
    expect(await unavailable(checker, issue().key)).toBe(true);
    const slow = Promise.withResolvers<Found>();
    answerWith = () => slow.promise;
    const [first, second, third] = [issue(), issue(), issue()].map(({ key }) =>
      checker.check(key).catch((error: unknown) => error),
    );
    expect(await third).toMatchObject({ code: "unavailable" });
    slow.reject(new Error("away"));
    await Promise.all([first, second]);
  });
});

describe("while the feed cannot be followed", () => {
  /** The feed hears of changes that it cannot apply, so its lease runs out; the rest of the process goes on. */
  async function blind(options: { blindSeconds: number; before: (checker: KeyChecker) => Promise<unknown> }) {
    let fails = false;
    const { checker, feed } = await opened({
      blindSeconds: options.blindSeconds,
      listens: (feed) => feed.onChange(() => (fails ? Promise.reject(new Error("cannot")) : Promise.resolve())),
    });
    await options.before(checker);
    fails = true;
    await recordTestChange(owner, "session", newUuid());
    await waitFor(() => !feed.lease.isSighted());
    asked = [];
    return { checker, feed, recover: () => void (fails = false) };
  }

  it("a known key goes on for the blind seconds and not longer; then it needs somebody who can tell", async () => {
    const { key } = issue();
    const { checker, feed, recover } = await blind({ blindSeconds: 1, before: (checker) => checker.check(key) });
    answerWith = () => Promise.reject(new Error("away"));
    expect(await checker.check(key)).toMatchObject({ valid: true });
    expect(asked).toEqual([]);
    await waitFor(() => feed.lease.blindForMs() >= 1000);
    expect(await unavailable(checker, key)).toBe(true);
    recover();
    await waitFor(() => feed.lease.isSighted());
    expect(await checker.check(key)).toMatchObject({ valid: true });
  });

  it.each(["rk", "svc"] as const)("a key of the kind %s needs somebody who can tell at once", async (kind) => {
    const { key } = issue({ kind });
    const { checker } = await blind({ blindSeconds: 60, before: (checker) => checker.check(key) });
    expect(await checker.check(key)).toMatchObject({ valid: true });
    expect(asked).toHaveLength(1);
    answerWith = () => Promise.reject(new Error("away"));
    expect(await unavailable(checker, key)).toBe(true);
  });

  it("whether a key is frozen comes with the answer once the blind seconds are over; where it does not, nobody can tell", async () => {
    const { key, record } = issue();
    const { checker, feed, recover } = await blind({ blindSeconds: 0, before: (checker) => checker.check(key) });
    expect(feed.lease.isSighted()).toBe(false);
    expect(await unavailable(checker, key)).toBe(true);
    answerWith = async (digest) => ({ ...(await truth(digest)), freezes: [] });
    expect(await checker.check(key)).toMatchObject({ valid: true });
    const freezes = [{ kind: "organization", target: record.organization_id }] as const;
    answerWith = async (digest) => ({ ...(await truth(digest)), freezes });
    expect(await checker.check(key)).toEqual({ valid: false, code: "frozen" });
    recover();
    await waitFor(() => feed.lease.isSighted());
    expect(await checker.check(key)).toMatchObject({ valid: true });
  });

  it("a key that was refused is asked about, and an answer holds for its own check alone", async () => {
    const { key } = issue({ state: "disabled" });
    const { checker } = await blind({ blindSeconds: 60, before: (checker) => checker.check(key) });
    expect(await checker.check(key)).toEqual({ valid: false, code: "disabled" });
    expect(await checker.check(key)).toEqual({ valid: false, code: "disabled" });
    expect(asked).toHaveLength(2);
  });
});
