import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { ValidKey, VerifyKeyAnswer } from "@nexus/contracts/verify-key";
import { generateApiKey, Problem, systemClock } from "@nexus/core";
import { type FakeClock, fakeClock, waitFor } from "@nexus/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type KeyChecker, type KeyCheckerOptions, openKeyChecker } from "./open-key-checker.ts";

// pv-keys here is a bare HTTP server that behaves as badly as a test wants; the real one is checked in services/pv-keys.
let server: Server;
let verifyUrl: string;
let answerWith: (request: IncomingMessage, response: ServerResponse, key: string) => void;
let asked: string[];
let clock: FakeClock;
const open: KeyChecker[] = [];

beforeEach(async () => {
  asked = [];
  clock = fakeClock();
  answerWith = (_request, response) => reply(response, valid());
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { key } = JSON.parse(Buffer.concat(chunks).toString()) as { key: string };
      asked.push(key);
      answerWith(request, response, key);
    });
  });
  await listen(0);
  verifyUrl = `http://127.0.0.1:${port()}`;
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((checker) => checker.close()));
  await stop();
});

describe("while pv-keys answers", () => {
  it("asks once for a key and with its own token, then answers by itself for a second", async () => {
    let line = "";
    answerWith = (request, response) => {
      line = `${request.method} ${request.url} ${request.headers.authorization}`;
      reply(response, valid());
    };
    const checker = opened();
    const key = newKey();
    expect(checker.known(key)).toBeUndefined();
    expect(await checker.check(key)).toEqual(valid());
    expect(checker.known(key)).toEqual(valid());
    clock.advance(400);
    expect(await checker.check(key)).toEqual(valid());
    expect(asked).toEqual([key]);
    expect(line).toBe("POST /v1/keys/verify Bearer the-token");
  });

  it("asks again in the background when half a second has passed, and must ask when a second has", async () => {
    const checker = opened();
    const key = newKey();
    await checker.check(key);
    clock.advance(500);
    answerWith = (_request, response) => reply(response, { valid: false, code: "revoked" });
    expect(checker.known(key)).toEqual(valid());
    await waitFor(() => checker.known(key)?.valid === false);
    expect(asked).toHaveLength(2);
    clock.advance(1000);
    expect(checker.known(key)).toBeUndefined();
  });

  it("a revoked key is refused at the first check after a second", async () => {
    const checker = opened();
    const key = newKey();
    await checker.check(key);
    answerWith = (_request, response) => reply(response, { valid: false, code: "revoked" });
    clock.advance(1000);
    expect(await checker.check(key)).toEqual({ valid: false, code: "revoked" });
  });

  it("an answer that was long under way is as old as its question", async () => {
    const checker = opened();
    const key = newKey();
    answerWith = (_request, response) => {
      clock.advance(700);
      reply(response, valid());
    };
    await checker.check(key);
    clock.advance(299);
    expect(checker.known(key)).toEqual(valid());
    clock.advance(1);
    expect(checker.known(key)).toBeUndefined();
  });

  it("a hundred checks of one unknown key are one question", async () => {
    const checker = opened();
    const key = newKey();
    const answers = await Promise.all(Array.from({ length: 100 }, () => checker.check(key)));
    expect(answers.every((answer) => answer.valid)).toBe(true);
    expect(asked).toHaveLength(1);
  });

  it("a refused key is not asked about again for a second", async () => {
    answerWith = (_request, response) => reply(response, { valid: false, code: "not_found" });
    const checker = opened();
    const key = newKey();
    for (let i = 0; i < 5; i++) expect(await checker.check(key)).toEqual({ valid: false, code: "not_found" });
    expect(asked).toHaveLength(1);
  });

  it.each([
    ["an empty text", ""],
    ["a wrong checksum", `${newKey().slice(0, -1)}_`],
    ["a mistyped character", newKey().replace(/.(?=.{20}$)/, (c) => (c === "x" ? "y" : "x"))],
    ["one character too many", `${newKey()}0`],
    ["an unknown kind", newKey().replace("pv_sk", "pv_xx")],
    ["an invisible character", `${newKey()}\u200b`],
    ["a line break", `${newKey()}\n`],
    ["a megabyte", "pv_sk_live_".padEnd(1_000_000, "a")],
  ])("%s is no key, and nobody is asked", async (_what, text) => {
    const checker = opened();
    expect(await checker.check(text)).toEqual({ valid: false, code: "not_found" });
    expect(checker.known(text)).toEqual({ valid: false, code: "not_found" });
    expect(asked).toEqual([]);
  });

  it("a key ends at its own expiry, also when the wall clock is set back", async () => {
    answerWith = (_request, response) => reply(response, valid({ expires_at: new Date(clock.now() + 300).toISOString() }));
    const checker = opened();
    const key = newKey();
    expect(await checker.check(key)).toMatchObject({ valid: true });
    clock.advance(300);
    expect(await checker.check(key)).toEqual({ valid: false, code: "expired" });
    clock.setWall(clock.now() - 3_600_000);
    expect(await checker.check(key)).toEqual({ valid: false, code: "expired" });
  });

  it("keeps no more than it was told, and a flood of invented keys pushes no good key out", async () => {
    const checker = opened({ maxEntries: 10 });
    const good = newKey();
    await checker.check(good);
    answerWith = (_request, response) => reply(response, { valid: false, code: "not_found" });
    const fakes = Array.from({ length: 50 }, newKey);
    for (const fake of fakes) await checker.check(fake);
    expect(checker.known(good)).toEqual(valid());
    expect(fakes.filter((fake) => checker.known(fake)).length).toBe(2);
  });

  it("no more questions are under way than allowed; the rest are told to come back", async () => {
    const held: ServerResponse[] = [];
    answerWith = (_request, response) => void held.push(response);
    const checker = opened({ maxPending: 3 });
    const answers = Promise.allSettled(Array.from({ length: 5 }, () => checker.check(newKey())));
    await waitFor(() => held.length === 3);
    for (const response of held) reply(response, valid());
    const results = await answers;
    expect(results.filter((result) => result.status === "fulfilled")).toHaveLength(3);
    for (const result of results) if (result.status === "rejected") expectUnavailable(result.reason);
  });
});

describe("while pv-keys is away", () => {
  const ways: [string, () => Promise<void> | void][] = [
    ["gone", () => stop()],
    ["hung", () => void (answerWith = () => {})],
    ["failing", () => void (answerWith = (_request, response) => reply(response, { title: "no" }, 503))],
    ["cutting connections", () => void (answerWith = (request) => request.socket.destroy())],
    ["answering in another shape", () => void (answerWith = (_request, response) => reply(response, { valid: true }))],
    ["answering no JSON", () => void (answerWith = (_request, response) => response.end("<html>"))],
    [
      "answering without end",
      () =>
        void (answerWith = (_request, response) => {
          response.writeHead(200, { "content-type": "application/json" });
          response.write(`{"valid":true,"x":"${"a".repeat(1_000_000)}`);
        }),
    ],
    ["refusing our token", () => void (answerWith = (_request, response) => reply(response, {}, 401))],
  ];

  it.each(ways)("%s: a valid key goes on for the blind time, an unknown one is 503, never refused", async (_way, breakIt) => {
    const checker = opened({ timeoutMs: 100 });
    const key = newKey();
    await checker.check(key);
    await breakIt();
    clock.advance(1000);
    expect(await checker.check(key)).toEqual(valid());
    expectUnavailable(await checker.check(newKey()).catch((error: unknown) => error));
    clock.advance(58_999);
    expect(await checker.check(key)).toEqual(valid());
    clock.advance(1);
    expectUnavailable(await checker.check(key).catch((error: unknown) => error));
  });

  it("with blind time 0 nothing is taken unasked", async () => {
    const checker = opened({ blindMs: 0 });
    const key = newKey();
    await checker.check(key);
    await stop();
    clock.advance(1000);
    expectUnavailable(await checker.check(key).catch((error: unknown) => error));
  });

  it("a key is not served past its own expiry", async () => {
    answerWith = (_request, response) => reply(response, valid({ expires_at: new Date(clock.now() + 5000).toISOString() }));
    const checker = opened();
    const key = newKey();
    await checker.check(key);
    await stop();
    clock.advance(4999);
    expect(await checker.check(key)).toMatchObject({ valid: true });
    clock.advance(1);
    expect(await checker.check(key)).toEqual({ valid: false, code: "expired" });
  });

  it("a key known to be revoked stays refused", async () => {
    answerWith = (_request, response) => reply(response, { valid: false, code: "revoked" });
    const checker = opened();
    const key = newKey();
    await checker.check(key);
    await stop();
    clock.advance(100_000);
    expect(await checker.check(key)).toEqual({ valid: false, code: "revoked" });
  });

  it("a hung pv-keys costs one deadline, not one for each check", async () => {
    const checker = opened({ timeoutMs: 200 });
    const keys = Array.from({ length: 20 }, newKey);
    for (const key of keys) await checker.check(key);
    answerWith = () => {};
    clock.advance(1000);
    asked = [];
    await checker.check(keys[0]!);
    const before = systemClock.monotonic();
    for (const key of keys) expect(await checker.check(key)).toEqual(valid());
    expect(systemClock.monotonic() - before).toBeLessThan(200);
    expect(asked).toHaveLength(1);
  });

  it("is asked again when it is back, and what it says holds", async () => {
    const checker = opened();
    const key = newKey();
    await checker.check(key);
    const before = port();
    await stop();
    clock.advance(1000);
    expect(await checker.check(key)).toEqual(valid());
    answerWith = (_request, response) => reply(response, { valid: false, code: "revoked" });
    await listen(before);
    await waitFor(async () => {
      clock.advance(250);
      return !(await checker.check(key)).valid;
    });
    clock.advance(250);
    answerWith = (_request, response) => reply(response, valid());
    expect(await checker.check(newKey())).toEqual(valid());
  });
});

it("a connection that pv-keys closed between two questions is not noticed", async () => {
  const checker = opened();
  await checker.check(newKey());
  let cut = true;
  answerWith = (request, response) => {
    if (cut) request.socket.destroy();
    else reply(response, valid());
    cut = false;
  };
  expect(await checker.check(newKey())).toEqual(valid());
});

function opened(options: Partial<KeyCheckerOptions> = {}): KeyChecker {
  const checker = openKeyChecker({ verifyUrl, serviceToken: "the-token", clock, ...options });
  open.push(checker);
  return checker;
}

function newKey(): string {
  return generateApiKey("sk", "live").key;
}

function valid(changes: Partial<ValidKey> = {}): VerifyKeyAnswer {
  return {
    valid: true,
    key_id: "key_1",
    organization_id: "org_1",
    owner: { kind: "user", id: "usr_1" },
    state: "active",
    expires_at: null,
    scopes: ["ai:*"],
    models: null,
    ip_allow: null,
    limits: [],
    budget_ids: [],
    rev: 1,
    ...changes,
  };
}

function reply(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function expectUnavailable(error: unknown): void {
  expect(error).toBeInstanceOf(Problem);
  expect((error as Problem).code).toBe("unavailable");
  expect((error as Problem).headers).toHaveProperty("retry-after");
}

function port(): number {
  return (server.address() as AddressInfo).port;
}

function listen(on: number): Promise<void> {
  return new Promise((resolve) => server.listen(on, "127.0.0.1", resolve));
}

function stop(): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
