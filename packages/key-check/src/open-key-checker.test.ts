import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { VerifyKeyAnswer } from "@nexus/contracts/verify-key";
import { generateApiKey } from "@nexus/core";
import { fakeClock } from "@nexus/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type KeyChecker, openKeyChecker } from "./open-key-checker.ts";

const key = generateApiKey("sk", "live").key;
const valid: VerifyKeyAnswer = {
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
};

const clock = fakeClock();
let behaviour: { answer?: unknown; status?: number; hang?: boolean };
let asked: string[];
let server: Server;
let checker: KeyChecker;

beforeEach(async () => {
  behaviour = { answer: valid };
  asked = [];
  server = createServer((request, response) => {
    request.setEncoding("utf8");
    let body = "";
    request.on("data", (chunk: string) => (body += chunk));
    request.on("end", () => {
      asked.push(body);
      if (!behaviour.hang)
        response.writeHead(behaviour.status ?? 200, { "content-type": "application/json" }).end(JSON.stringify(behaviour.answer));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  checker = openKeyChecker({ verifyUrl: `http://127.0.0.1:${port}`, serviceToken: "t".repeat(32), clock, timeoutMs: 200 });
});
afterEach(async () => {
  await checker.close();
  await stop();
});

async function stop(): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

describe("checking a key", () => {
  it("asks once for all who ask at the same time, and again only after a second", async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => checker.check(key)));
    expect(new Set(answers)).toEqual(new Set([valid]));
    clock.advance(999);
    await checker.check(key);
    expect(asked).toHaveLength(1);
    clock.advance(1);
    await checker.check(key);
    expect(asked).toHaveLength(2);
  });

  it("never asks about what is not shaped like a key", async () => {
    for (const text of ["", "x", `${key}x`, key.slice(1), "a".repeat(1_000_000), `${key.slice(0, -1)}!`]) {
      expect(await checker.check(text)).toEqual({ valid: false, code: "not_found" });
    }
    expect(asked).toHaveLength(0);
  });

  it("remembers a refusal for a second too, and believes the next answer", async () => {
    behaviour = { answer: { valid: false, code: "not_found" } };
    expect(await checker.check(key)).toMatchObject({ valid: false });
    behaviour = { answer: valid };
    expect(await checker.check(key)).toMatchObject({ valid: false });
    clock.advance(1000);
    expect(await checker.check(key)).toMatchObject({ valid: true });
  });

  it("refuses a revoked key as soon as the last answer is a second old", async () => {
    await checker.check(key);
    behaviour = { answer: { valid: false, code: "revoked" } };
    clock.advance(1000);
    expect(await checker.check(key)).toEqual({ valid: false, code: "revoked" });
    behaviour = { status: 503, answer: {} };
    clock.advance(1000);
    await expect(checker.check(key)).rejects.toMatchObject({ code: "unavailable" });
  });

  it("serves no key past its own expiry", async () => {
    behaviour = { answer: { ...valid, expires_at: new Date(clock.now() + 500).toISOString() } };
    expect(await checker.check(key)).toMatchObject({ valid: true });
    clock.advance(500);
    expect(await checker.check(key)).toEqual({ valid: false, code: "expired" });
  });
});

describe("when pv-keys cannot be asked", () => {
  it.each([
    ["hangs", { hang: true }],
    ["fails", { status: 500, answer: {} }],
    ["answers nonsense", { answer: { valid: "perhaps" } }],
    ["answers a half-filled key", { answer: { valid: true, key_id: "key_1" } }],
  ])("because it %s, an unknown key is 503 and a known one is served for a minute", async (_how, trouble) => {
    await checker.check(key);
    behaviour = trouble;
    const unknown = generateApiKey("sk", "live").key;
    await expect(checker.check(unknown)).rejects.toMatchObject({ code: "unavailable", status: 503 });
    clock.advance(59_000);
    expect(await checker.check(key)).toEqual(valid);
    clock.advance(1_000);
    await expect(checker.check(key)).rejects.toMatchObject({ code: "unavailable" });
  });

  it("costs one deadline, not one per request", async () => {
    await checker.check(key);
    behaviour = { hang: true };
    clock.advance(1000);
    for (let i = 0; i < 20; i++) expect(await checker.check(key)).toEqual(valid);
    expect(asked).toHaveLength(2);
    clock.advance(500);
    behaviour = { answer: { valid: false, code: "revoked" } };
    expect(await checker.check(key)).toEqual({ valid: false, code: "revoked" });
  });

  it("because it is gone, the same holds, and it is asked again when it is back", async () => {
    const { port } = server.address() as AddressInfo;
    await checker.check(key);
    await stop();
    clock.advance(2000);
    expect(await checker.check(key)).toEqual(valid);
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    behaviour = { answer: { valid: false, code: "revoked" } };
    clock.advance(2000);
    expect(await checker.check(key)).toEqual({ valid: false, code: "revoked" });
  });
});
