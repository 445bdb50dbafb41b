/** The life of keys on the whole platform: a root key hands out keys, the gateway takes them, and they end. */
import { waitFor } from "@nexus/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type PlatformProcess, startPlatform, stopPlatform } from "./platform.ts";
import { bearer, headless, makeKey, postJson, signIn } from "./session.ts";

interface Made {
  key: { id: string; state: string; versions: unknown[] };
  secret: string;
  share: { url: string };
}

let platform: PlatformProcess;
let root: string;

beforeAll(async () => {
  platform = await startPlatform({ env: headless });
  root = (await makeKey(platform, await signIn(platform), { kind: "rk", scopes: ["keys:*"] })).secret;
});
afterAll(async () => {
  await stopPlatform(platform);
});

it("a key made by a root key calls models; rotated, both secrets do until the old one retires; revoked, none does", async () => {
  const { key, secret: first } = await manage("POST", "", { name: "by program", models: ["embedded-echo"] }, 201);
  expect(await chat(first)).toBe(200);
  const { secret: second } = await manage("POST", `/${key.id}/rotate`, { overlap_seconds: 600 });
  expect([await chat(first), await chat(second)]).toEqual([200, 200]);
  const { secret: third } = await manage("POST", `/${key.id}/rotate`, { overlap_seconds: 0 });
  expect(await chat(third)).toBe(200);
  await waitFor(async () => (await chat(first)) === 401 && (await chat(second)) === 401, { timeoutMs: 5000 });
  await manage("POST", `/${key.id}/disable`);
  await waitFor(async () => (await chat(third)) === 401, { timeoutMs: 5000 });
  await manage("POST", `/${key.id}/enable`);
  await waitFor(async () => (await chat(third)) === 200, { timeoutMs: 5000 });
  await manage("POST", `/${key.id}/revoke`);
  await waitFor(async () => (await chat(third)) === 401, { timeoutMs: 5000 });
});

it("a root key calls no model, and a key bound to other addresses does not either", async () => {
  expect(await chat(root)).toBe(403);
  const { secret } = await manage("POST", "", { name: "elsewhere", ip_allow: ["203.0.113.0/24"] }, 201);
  expect(await chat(secret)).toBe(403);
});

it("a share link leads to pv-keys, whose page is there, and shows a key that works", async () => {
  const { share } = await manage("POST", "", { name: "for you", deliver: "link" }, 201);
  const url = new URL(share.url);
  expect(url.origin).toBe(new URL(platform.urls.keys).origin);
  const page = await fetch(url);
  expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
  const answer = await postJson(`${url.origin}/v1/key-shares/open`, { token: url.hash.slice(1) });
  const { secret } = (await answer.json()) as { secret: string };
  expect(await chat(secret)).toBe(200);
});

async function manage(method: string, path: string, body: unknown = {}, status = 200): Promise<Made> {
  const answer = await fetch(`${platform.urls.keys}/v1/keys${path}`, {
    method,
    headers: { ...bearer(root), "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect([path, answer.status]).toEqual([path, status]);
  return (await answer.json()) as Made;
}

async function chat(secret: string): Promise<number> {
  const body = { model: "embedded-echo", messages: [{ role: "user", content: "hello" }] };
  return (await postJson(`${platform.urls.ai}/v1/chat/completions`, body, bearer(secret))).status;
}
