import { hash, randomBytes } from "node:crypto";
import { createContext, runInContext } from "node:vm";
import { loadConfig } from "@nexus/config";
import type { OpenedShare, SharedKey } from "@nexus/contracts/key-shares";
import type { CreatedKey } from "@nexus/contracts/keys";
import { uuidOf } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, type KeysScene, openKeysScene, type ScenePerson, waitFor } from "@nexus/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";

const logs = captureLogs();
const tokens: string[] = [];
const secrets: string[] = [];
let scene: KeysScene;
let service: RunningService;
let alice: ScenePerson;

beforeAll(async () => {
  scene = await openKeysScene();
  alice = await scene.person();
  const environment = {
    ...scene.environment,
    NEXUS_PV_KEYS_PUBLIC_URL: "https://keys.example.test/",
    NEXUS_TRUSTED_PROXIES: "127.0.0.1,::1",
  };
  const logger = createLogger({ service: "pv-keys", level: "debug", destination: logs.stream });
  service = await startService(loadConfig(configSchema, environment, configRules), { logger });
});
afterAll(async () => {
  await service.close();
  await scene.close();
});

describe("a share link", () => {
  it("shows the key once; a second opening tells when the first was", async () => {
    const { key, share, token } = await makeShared({ name: "handed over" });
    expect(share.url).toBe(`https://keys.example.test/share#${token}`);
    expect(Math.abs(Date.parse(share.expires_at) - Date.parse(key.created_at) - 86_400_000)).toBeLessThan(60_000);
    const first = await open(token);
    expect(first.status).toBe(200);
    const { secret, ...rest } = (await first.json()) as OpenedShare;
    secrets.push(secret);
    expect(rest).toEqual({ name: "handed over", prefix: key.prefix, expires_at: key.expires_at });
    expect(await verify(secret)).toMatchObject({ valid: true, key_id: key.id });
    const second = await open(token);
    expect(second.status).toBe(409);
    const refusal = (await second.json()) as { detail: string; opened_at: string };
    expect(refusal.detail).toContain(refusal.opened_at);
    expect(Math.abs(Date.now() - Date.parse(refusal.opened_at))).toBeLessThan(60_000);
    expect(refusal).not.toHaveProperty("secret");
  });

  it("of many openings at once one shows the key", async () => {
    const { token } = await makeShared({ name: "race" });
    const answers = await Promise.all(Array.from({ length: 8 }, () => open(token)));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, ...Array<number>(7).fill(409)]);
  });

  it("hands over a rotated secret too", async () => {
    const { key } = (await (await post("/v1/keys", { name: "rotated" })).json()) as CreatedKey;
    const answer = await post(`/v1/keys/${key.id}/rotate`, { overlap_seconds: 60, deliver: "link", link_seconds: 60 });
    expect(answer.status).toBe(200);
    const shared = (await answer.json()) as SharedKey;
    expect(shared).not.toHaveProperty("secret");
    const { secret } = (await (await open(tokenOf(shared))).json()) as OpenedShare;
    expect(secret.startsWith(shared.key.prefix)).toBe(true);
    expect(await verify(secret)).toMatchObject({ valid: true, key_id: key.id });
  });

  it("runs out when it was told to, and its secret leaves the database", async () => {
    const { key, token } = await makeShared({ name: "late", link_seconds: 604_800 });
    await change(key.id, { created_at: new Date(Date.now() - 2000), expires_at: new Date(Date.now() - 1000) });
    const answer = await open(token);
    expect(answer.status).toBe(404);
    expect(((await answer.json()) as { detail: string }).detail).toContain("ran out");
    await makeShared({ name: "next" });
    expect(await rowOf(key.id)).toMatchObject({ ciphertext: null, opened_at: null });
  });

  it("does not show a key that was ended before", async () => {
    const revoked = await makeShared({ name: "revoked" });
    await post(`/v1/keys/${revoked.key.id}/revoke`, {});
    const rotated = await makeShared({ name: "rotated away" });
    await post(`/v1/keys/${rotated.key.id}/rotate`, { overlap_seconds: 0 });
    for (const { token } of [revoked, rotated]) {
      const answer = await open(token);
      expect([answer.status, ((await answer.json()) as { detail: string }).detail]).toEqual([
        409,
        "The key was ended before its link was opened. Ask for a new one.",
      ]);
    }
  });

  it("leaves nothing usable in the database, and nothing at all once it was opened", async () => {
    const { key, token } = await makeShared({ name: "at rest" });
    const before = await rowOf(key.id);
    const text = [before.ciphertext!.toString("latin1"), before.token_hash.toString("base64url"), JSON.stringify(before)].join();
    expect(text).not.toContain(token);
    expect(before.token_hash.equals(hash("sha256", Buffer.from(token, "base64url"), "buffer"))).toBe(false);
    const { secret } = (await (await open(token)).json()) as OpenedShare;
    expect(text).not.toContain(secret.slice(21));
    expect(await rowOf(key.id)).toMatchObject({ ciphertext: null });
  });

  it("moved to another row its ciphertext does not open", async () => {
    const [one, two] = [await makeShared({ name: "one" }), await makeShared({ name: "two" })];
    await change(two.key.id, { ciphertext: (await rowOf(one.key.id)).ciphertext! });
    const answer = await open(two.token);
    expect(answer.status).toBe(500);
    expect(await answer.text()).not.toContain("pv_sk");
    expect(await rowOf(two.key.id)).toMatchObject({ opened_at: null });
  });

  it("is audited where it is made and where it is opened, by nobody known", async () => {
    const { key, share, token } = await makeShared({ name: "audited" });
    await open(token);
    const rows = await scene.owner.db.selectFrom("audit_log").select(["action", "actor", "details", "targets"]).execute();
    const about = rows.filter(({ targets }) => JSON.stringify(targets).includes(key.id));
    expect(about).toEqual([
      expect.objectContaining({ action: "key.created", details: expect.objectContaining({ link_expires_at: share.expires_at }) }),
      expect.objectContaining({
        action: "key.share_opened",
        actor: { kind: "anonymous" },
        details: { prefix: key.prefix, version: 1 },
      }),
    ]);
    expect(JSON.stringify(about)).not.toContain(token);
  });

  it.each([
    { deliver: "link", link_seconds: 59 },
    { deliver: "link", link_seconds: 604_801 },
    { deliver: "mail" },
    { link_seconds: 60 },
    { deliver: "answer", link_seconds: 60 },
  ])("%j is refused", async (part) => {
    expect((await post("/v1/keys", { name: "x", ...part })).status).toBe(422);
  });
});

describe("opening", () => {
  it.each([{}, { token: "short" }, { token: `${"a".repeat(43)}=` }, { token: "a".repeat(43), more: 1 }])(
    "%j is refused",
    async (body) => {
      expect((await openWith(body)).status).toBe(422);
    },
  );

  it("a wrong token is answered as no link, twenty times a minute from one address", async () => {
    const { token } = await makeShared({ name: "guarded" });
    const wrong = (): string => randomBytes(32).toString("base64url");
    for (let i = 0; i < 20; i++) expect((await open(wrong(), "192.0.2.1")).status).toBe(404);
    const refused = await open(wrong(), "192.0.2.1");
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await open(token, "192.0.2.2")).status).toBe(200);
  });
});

describe("the page", () => {
  it("opens nothing when it is fetched, as by the preview of a chat program", async () => {
    const { token } = await makeShared({ name: "previewed" });
    for (const method of ["GET", "HEAD"]) {
      const answer = await fetch(`${service.url}/share#${token}`, { method });
      expect(answer.status).toBe(200);
    }
    expect((await open(token)).status).toBe(200);
  });

  it("may run its own script and style, talk to its own server, and nothing else", async () => {
    const answer = await fetch(`${service.url}/share`);
    const page = await answer.text();
    const policy = answer.headers.get("content-security-policy")!;
    const sourceOf = (tag: string): string => {
      const content = new RegExp(`<${tag}>([^]*?)</${tag}>`).exec(page)![1]!;
      return `'sha256-${hash("sha256", content, "base64")}'`;
    };
    expect(policy.split("; ")).toEqual([
      "default-src 'none'",
      `script-src ${sourceOf("script")}`,
      `style-src ${sourceOf("style")}`,
      "connect-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ]);
    expect(page).not.toMatch(/https?:|\/\/[a-z]|<link|<img|<iframe| on[a-z]+=| style=/);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(answer.headers.get("referrer-policy")).toBe("no-referrer");
    expect(answer.headers.get("x-robots-tag")).toBe("noindex");
  });

  it("shows the key when its button is pressed, and forgets the token", async () => {
    const { key, token } = await makeShared({ name: "<b>shown</b>" });
    const page = await runPage(`#${token}`);
    expect(page.part("fault").hidden).toBe(true);
    await page.press();
    await waitFor(() => !page.part("after").hidden);
    expect(page.part("secret").textContent.startsWith(key.prefix)).toBe(true);
    expect(page.part("name").textContent).toBe("<b>shown</b>");
    expect(page.address()).toBe("/share");
    const again = await runPage(`#${token}`);
    await again.press();
    await waitFor(() => !again.part("fault").hidden);
    expect(again.part("fault").textContent).toContain("was opened at");
    expect(again.part("after").hidden).toBe(true);
  });

  it("says so when the link is not whole", async () => {
    const page = await runPage("");
    expect(page.part("fault").hidden).toBe(false);
    expect(page.part("before").hidden).toBe(true);
  });
});

it("no log line holds a token or a secret", () => {
  expect(tokens.length).toBeGreaterThan(10);
  expect(logs.text()).toContain('"route":"/v1/key-shares/open"');
  for (const token of tokens) expect(logs.text()).not.toContain(token);
  for (const secret of secrets) expect(logs.text()).not.toContain(secret.slice(21));
});

interface Part {
  textContent: string;
  hidden: boolean;
  disabled: boolean;
  addEventListener(event: string, listener: () => Promise<void>): void;
}

/** Runs the page's own script on stand-ins for the few parts of a browser that it touches. */
async function runPage(fragment: string) {
  const page = await (await fetch(`${service.url}/share`)).text();
  const script = /<script>([^]*?)<\/script>/.exec(page)![1]!;
  const parts = new Map<string, Part>();
  let pressed: (() => Promise<void>) | undefined;
  let address = `/share${fragment}`;
  for (const [, id = "", attributes = ""] of page.matchAll(/ id="(\w+)"([^>]*)>/g)) {
    parts.set(id, {
      textContent: "",
      hidden: attributes.includes("hidden"),
      disabled: false,
      addEventListener: (_event, listener) => void (pressed = listener),
    });
  }
  const browser = createContext({
    document: { getElementById: (id: string) => parts.get(id) },
    location: { hash: fragment, pathname: "/share" },
    history: { replaceState: (_state: unknown, _title: string, url: string) => void (address = url) },
    fetch: (path: string, init: RequestInit) => fetch(service.url + path, init),
  });
  runInContext(script, browser);
  return { part: (id: string) => parts.get(id)!, press: async () => await pressed!(), address: () => address };
}

async function makeShared(body: object): Promise<SharedKey & { token: string }> {
  const answer = await post("/v1/keys", { deliver: "link", ...body });
  expect(answer.status).toBe(201);
  const shared = (await answer.json()) as SharedKey;
  expect(shared).not.toHaveProperty("secret");
  return { ...shared, token: tokenOf(shared) };
}

function tokenOf({ share }: SharedKey): string {
  const token = share.url.split("#")[1]!;
  expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/);
  tokens.push(token);
  return token;
}

function open(token: string, from = `198.51.100.${tokens.length % 250}`): Promise<Response> {
  return openWith({ token }, from);
}

/** Nobody signs in for it; the address is what a trusted proxy says. */
function openWith(body: unknown, from = "198.51.100.1"): Promise<Response> {
  return fetch(`${service.url}/v1/key-shares/open`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-forwarded-for": from },
    body: JSON.stringify(body),
  });
}

function post(path: string, body: unknown): Promise<Response> {
  return scene.call(service.url + path, alice, { body });
}

async function rowOf(keyId: string) {
  return await scene.owner.db
    .selectFrom("key_shares")
    .selectAll()
    .where("key_id", "=", uuidOf("key", keyId)!)
    .executeTakeFirstOrThrow();
}

async function change(keyId: string, values: { created_at?: Date; expires_at?: Date; ciphertext?: Buffer }): Promise<void> {
  await scene.owner.db.updateTable("key_shares").set(values).where("key_id", "=", uuidOf("key", keyId)!).execute();
}

async function verify(key: string): Promise<unknown> {
  const answer = await scene.call(`${service.internalUrl}/v1/keys/verify`, scene.serviceToken, { body: { key } });
  return await answer.json();
}
