/** Where keys are looked up: PostgreSQL, pv-keys over HTTP, and the one in place of the other. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { generateApiKey, newUuid, systemClock, toId } from "@nexus/core";
import { type Database, openDatabase } from "@nexus/db";
import { createTestDatabase, type TestDatabase, waitFor } from "@nexus/testing";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { databaseSource } from "./database-source.ts";
import type { Found, KeySource } from "./key-source.ts";
import { keyDigest, pepperFingerprint, type Peppers, storedHash } from "./peppers.ts";
import { pvKeysSource } from "./pv-keys-source.ts";
import { twoSources } from "./two-sources.ts";

const [oldPepper, newPepper] = ["o".repeat(40), "n".repeat(40)];
const peppers: Peppers = {
  current: 2,
  versions: new Map([
    [1, oldPepper],
    [2, newPepper],
  ]),
};
let database: TestDatabase;
let owner: Database;
let reader: Database;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  owner = database.openOwner();
  reader = openDatabase(database.ai, { applicationName: "test" });
  await owner.db
    .insertInto("key_peppers")
    .values([...peppers.versions].map(([version, pepper]) => ({ version, fingerprint: pepperFingerprint(pepper) })))
    .execute();
});
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});
afterAll(async () => {
  await reader.close();
  await database.drop();
});

async function storeKey(pepperVersion: number): Promise<{ digest: Buffer; keyId: string }> {
  const digest = keyDigest(generateApiKey("sk", "live").key);
  const [id, organization] = [newUuid(), newUuid()];
  await owner.db.insertInto("organizations").values({ id: organization, name: "test" }).execute();
  await owner.db
    .insertInto("api_keys")
    .values({
      id,
      organization_id: organization,
      owner_kind: "organization",
      name: "k",
      kind: "sk",
      environment: "live",
      rev: 1n,
    })
    .execute();
  const hash = storedHash(digest, peppers.versions.get(pepperVersion)!);
  await owner.db
    .insertInto("api_key_versions")
    .values({ key_id: id, version: 1, hash, pepper_version: pepperVersion, display_prefix: "pv_sk_live_x" })
    .execute();
  return { digest, keyId: toId("key", id) };
}

it("PostgreSQL tells a key under each of its peppers, and says which was seen under an old one", async () => {
  const seen: unknown[] = [];
  const source = databaseSource({ db: reader.db, peppers, onOldPepper: (key) => seen.push(key) });
  const [older, newer] = [await storeKey(1), await storeKey(2)];
  const found = await Promise.all(
    [older.digest, newer.digest, keyDigest("nothing"), older.digest].map((digest) => source.find(digest, 0)),
  );
  expect(found.map(({ record }) => record?.key_id)).toEqual([older.keyId, newer.keyId, undefined, older.keyId]);
  expect(seen).toEqual([1, 1].map(() => ({ digest: older.digest, keyId: older.keyId, version: 1 })));
});

it("with a wrong or a missing pepper nothing is said of any key", async () => {
  const { digest } = await storeKey(2);
  const wrong = databaseSource({ db: reader.db, peppers: { current: 2, versions: new Map([[2, "w".repeat(40)]]) } });
  await expect(wrong.find(digest, 0)).rejects.toThrow("another secret under version 2");
  const lacking = databaseSource({ db: reader.db, peppers: { current: 1, versions: new Map([[1, oldPepper]]) } });
  await expect(lacking.find(digest, 0)).rejects.toThrow("lacks version 2");
});

async function serve(handle: (request: IncomingMessage, response: ServerResponse, body: string) => void): Promise<string> {
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request
      .on("data", (chunk: Buffer) => chunks.push(chunk))
      .on("end", () => handle(request, response, Buffer.concat(chunks).toString()));
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  closing.push(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  );
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function asking(url: string, timeoutMs = 500): KeySource {
  const source = pvKeysSource({ url, serviceToken: "the-token", timeoutMs });
  closing.push(() => source.close());
  return source;
}

it("pv-keys is asked with the digest and this service's token, never with the key", async () => {
  const digest = keyDigest("a key");
  let heard: unknown;
  const url = await serve((request, response, body) => {
    heard = [request.method, request.url, request.headers.authorization, JSON.parse(body)];
    response.end(JSON.stringify({ key: null, generation: "g", as_of: 7 }));
  });
  expect(await asking(url).find(digest, 5)).toEqual({ record: null, generation: "g", asOf: 7 });
  expect(heard).toEqual(["POST", "/v1/keys/lookup", "Bearer the-token", { digest: digest.toString("base64url"), min_rev: 5 }]);
});

it.each([
  ["another status", (response: ServerResponse) => response.writeHead(503).end("{}")],
  ["no JSON", (response: ServerResponse) => response.end("<html>")],
  ["another shape", (response: ServerResponse) => response.end('{"key":{},"generation":"g","as_of":1}')],
  ["no revision", (response: ServerResponse) => response.end('{"key":null,"generation":"g"}')],
  ["far too much", (response: ServerResponse) => response.end(" ".repeat(300_000) + '{"key":null,"generation":"g","as_of":1}')],
  [
    "half an answer",
    (response: ServerResponse) => response.writeHead(200, { "content-length": 99 }).write("{") && response.destroy(),
  ],
  ["nothing", () => {}],
])("%s from pv-keys is no answer", async (_what, answer) => {
  const url = await serve((_request, response) => void answer(response));
  await expect(asking(url).find(keyDigest("x"), 0)).rejects.toThrow();
});

it("while pv-keys is away PostgreSQL is asked, and pv-keys again when it is back", async () => {
  let away = true;
  const url = await serve(
    (_request, response) =>
      void (away ? response.writeHead(500).end() : response.end(JSON.stringify({ key: null, generation: "back", as_of: 1 }))),
  );
  const { digest, keyId } = await storeKey(2);
  const reasons: unknown[] = [];
  const source = twoSources({
    first: asking(url),
    second: databaseSource({ db: reader.db, peppers }),
    clock: systemClock,
    onAway: (error) => reasons.push(error),
  });
  for (let i = 0; i < 3; i++) expect((await source.find(digest, 0)).record?.key_id).toBe(keyId);
  expect(reasons).toHaveLength(1);
  away = false;
  await waitFor(async () => (await source.find(digest, 0)).generation === "back");
});

it("a pv-keys that is silent costs a tenth of a second and not its whole deadline", async () => {
  const url = await serve(() => {});
  const second: KeySource = { find: () => Promise.resolve(answer), close: () => Promise.resolve() };
  const answer: Found = { record: null, generation: "second", asOf: 1 };
  const source = twoSources({ first: asking(url, 5000), second, clock: systemClock });
  const before = performance.now();
  expect(await source.find(keyDigest("x"), 0)).toBe(answer);
  expect(performance.now() - before).toBeLessThan(2500);
});

it("when neither can tell, that is what is said", async () => {
  const url = await serve((_request, response) => void response.writeHead(500).end());
  const second: KeySource = { find: () => Promise.reject(new Error("PostgreSQL is away")), close: () => Promise.resolve() };
  const source = twoSources({ first: asking(url), second, clock: systemClock });
  await expect(source.find(keyDigest("x"), 0)).rejects.toThrow("PostgreSQL is away");
});
