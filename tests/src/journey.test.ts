import { waitFor } from "@nexus/testing";
/** One real journey through all three services, over HTTP alone, on the platform that `npm start` starts. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PlatformProcess, startPlatform, stopPlatform } from "./platform.ts";
import { bearer, postJson, tokenFor } from "./session.ts";

const person = { email: "owner@example.test", password: "correct horse battery staple", name: "Owner" };

let platform: PlatformProcess;
let cookie = "";
let key = "";
let keyId = "";

beforeAll(async () => {
  platform = await startPlatform({ env: { NEXUS_LOG_LEVEL: "debug" } });
});
afterAll(async () => {
  await stopPlatform(platform);
});

describe("from an empty folder to an AI answer with its usage and audit rows", () => {
  it("the printed link makes the first administrator, once", async () => {
    const link = new URL(platform.setupUrl()!);
    const code = link.searchParams.get("code");
    expect((await fetch(`${platform.urls.api}/setup`)).status).toBe(404);
    const form = await fetch(link);
    expect(form.status).toBe(200);
    expect(form.headers.get("content-type")).toContain("text/html");
    expect((await postJson(`${platform.urls.api}/setup`, { code, ...person })).status).toBeLessThan(300);
    expect((await fetch(link)).status).toBe(404);
    expect((await postJson(`${platform.urls.api}/setup`, { code, ...person, email: "second@example.test" })).status).toBe(404);
  });

  it("sign-in sets a session whose secret is in the cookie alone", async () => {
    const answer = await postJson(`${platform.urls.api}/api/auth/sign-in/email`, {
      email: person.email,
      password: person.password,
    });
    expect(answer.status).toBe(200);
    const setCookie = answer.headers.getSetCookie().join("; ");
    expect(setCookie).toContain("HttpOnly");
    cookie = setCookie.split(";")[0]!;
    const secret = cookie.slice(cookie.indexOf("=") + 1);
    expect(secret.length).toBeGreaterThan(40);
    expect(await answer.text()).not.toContain(secret);
  });

  it("a person makes a key with a token for pv-keys", async () => {
    const answer = await postJson(
      `${platform.urls.keys}/v1/keys`,
      { name: "journey" },
      bearer(await tokenFor(platform, cookie, "pv-keys")),
    );
    expect(answer.status).toBe(201);
    const made = (await answer.json()) as { key: { id: string }; secret: string };
    key = made.secret;
    keyId = made.key.id;
    expect(key).toMatch(/^pv_sk_live_[0-9A-Za-z]{48}$/);
    const read = await fetch(`${platform.urls.keys}/v1/keys/${keyId}`, {
      headers: bearer(await tokenFor(platform, cookie, "pv-keys")),
    });
    expect(await read.text()).not.toContain(key);
  });

  it("a token for one service is refused by the other", async () => {
    const answer = await fetch(`${platform.urls.ai}/v1/models`, { headers: bearer(await tokenFor(platform, cookie, "pv-keys")) });
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toContain("Bearer");
  });

  it.each(["embedded-echo", "embedded-guide"])("%s answers a chat with that key", async (model) => {
    const body = { model, messages: [{ role: "user", content: "How do I make an API key?" }] };
    const answer = await postJson(`${platform.urls.ai}/v1/chat/completions`, body, bearer(key));
    expect(answer.status).toBe(200);
    const completion = (await answer.json()) as Completion;
    expect(completion.choices[0]!.message.content.length).toBeGreaterThan(10);
    expect(completion.usage.total_tokens).toBeGreaterThan(0);
    await usageRow(answer.headers.get("x-request-id")!);
  });

  it("a streamed chat ends with [DONE] and leaves one usage row", async () => {
    const body = { model: "embedded-echo", stream: true, messages: [{ role: "user", content: "one two three" }] };
    const answer = await postJson(`${platform.urls.ai}/v1/chat/completions`, body, bearer(key));
    expect(answer.headers.get("content-type")).toContain("text/event-stream");
    expect((await answer.text()).trimEnd().endsWith("data: [DONE]")).toBe(true);
    const row = await usageRow(answer.headers.get("x-request-id")!);
    expect(row).toMatchObject({ model: "embedded-echo", stream: true, outcome: "ok", cost_nanos: "0" });
  });

  it("embeddings come with 512 dimensions and are metered", async () => {
    const answer = await postJson(
      `${platform.urls.ai}/v1/embeddings`,
      { model: "use-lite-en-512", input: ["a cat", "a dog"] },
      bearer(key),
    );
    expect(answer.status).toBe(200);
    const { data } = (await answer.json()) as { data: { embedding: number[] }[] };
    expect(data.map((item) => item.embedding.length)).toEqual([512, 512]);
    await usageRow(answer.headers.get("x-request-id")!);
  });

  it("the audit log tells who did what, under the request's own id", async () => {
    const answer = await fetch(`${platform.urls.api}/api/audit/events?limit=100`, { headers: { cookie } });
    expect(answer.status).toBe(200);
    const { data } = (await answer.json()) as { data: { action: string; context: { request_id?: string } }[] };
    const actions = data.map((event) => event.action);
    expect(actions).toContain("key.created");
    expect(actions.filter((action) => action.includes("sign_in") || action.includes("signed_in")).length).toBeGreaterThan(0);
    expect(data.find((event) => event.action === "key.created")!.context.request_id).toMatch(/^req_/);
  });

  it("every built-in module is operational", async () => {
    await waitFor(
      async () => {
        const answer = await fetch(`${platform.urls.api}/api/status`);
        const { modules } = (await answer.json()) as { modules: { module: string; status: string }[] };
        const names = modules.map((one) => one.module).toSorted();
        return names.join() === "ai,audit,auth,cache,database,keys" && modules.every((one) => one.status === "operational");
      },
      { timeoutMs: 25_000 },
    );
    for (const module of ["auth", "keys", "ai", "database", "cache", "audit"]) {
      expect((await fetch(`${platform.urls.api}/api/${module}/status`)).status).toBe(200);
    }
    expect((await fetch(`${platform.urls.api}/api/creator-hub/status`)).status).toBe(404);
  });

  it("a revoked key is refused within two seconds", async () => {
    const answer = await fetch(`${platform.urls.keys}/v1/keys/${keyId}/revoke`, {
      method: "POST",
      headers: bearer(await tokenFor(platform, cookie, "pv-keys")),
    });
    expect(answer.status).toBe(200);
    await waitFor(async () => (await fetch(`${platform.urls.ai}/v1/models`, { headers: bearer(key) })).status === 401, {
      timeoutMs: 2_000,
    });
  });

  it("sign-out ends the session at once, and its tokens at the other services within two seconds", async () => {
    const reads = [
      { url: `${platform.urls.keys}/v1/keys`, headers: bearer(await tokenFor(platform, cookie, "pv-keys")) },
      { url: `${platform.urls.ai}/v1/models`, headers: bearer(await tokenFor(platform, cookie, "puaboai-sdk")) },
    ];
    const statuses = () => Promise.all(reads.map(async ({ url, headers }) => (await fetch(url, { headers })).status));
    expect(await statuses()).toEqual([200, 200]);
    const answer = await fetch(`${platform.urls.api}/api/auth/sign-out`, {
      method: "POST",
      headers: { cookie, "content-type": "application/json" },
      body: "{}",
    });
    expect(answer.status).toBe(200);
    const session = await fetch(`${platform.urls.api}/api/auth/get-session`, { headers: { cookie } });
    expect(await session.json()).toBeNull();
    await waitFor(async () => (await statuses()).every((status) => status === 401), { timeoutMs: 2000 });
  });

  it("nothing that it printed holds a secret it was given or made", () => {
    const secret = cookie.slice(cookie.indexOf("=") + 1);
    for (const text of [person.password, key, key.slice(21), secret]) expect(platform.output()).not.toContain(text);
  });
});

interface Completion {
  choices: { message: { content: string } }[];
  usage: { total_tokens: number };
}

/** The one usage row of a request; rows are committed in groups, so it may take a moment to be seen. */
async function usageRow(requestId: string): Promise<Record<string, unknown>> {
  expect(requestId).toMatch(/^req_/);
  let rows: Record<string, unknown>[] = [];
  await waitFor(
    async () => {
      const answer = await fetch(`${platform.urls.ai}/v1/usage?limit=100`, { headers: bearer(key) });
      const { data } = (await answer.json()) as { data: Record<string, unknown>[] };
      rows = data.filter((row) => row["request_id"] === requestId);
      return rows.length > 0;
    },
    { timeoutMs: 3_000 },
  );
  expect(rows).toHaveLength(1);
  return rows[0]!;
}
