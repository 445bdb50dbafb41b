/** Programs that read the audit log with a key: how much of it they see, and that a revoked key sees nothing more. */
import type { Receipt } from "@nexus/contracts/receipts";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type PlatformProcess, startPlatform, stopPlatform } from "./platform.ts";
import { bearer, headless, makeKey, postJson, signIn, tokenFor } from "./session.ts";

const eve = { email: "eve@example.test", password: "another long pass phrase", name: "Eve" };

interface Entry {
  action: string;
  organization_id: string | null;
}

let platform: PlatformProcess;
let ownerCookie: string;
let eveCookie: string;

beforeAll(async () => {
  platform = await startPlatform({ env: { ...headless, NEXUS_SIGN_UP: "open" } });
  ownerCookie = await signIn(platform);
  const signedUp = await postJson(`${platform.urls.api}/api/auth/sign-up/email`, eve);
  eveCookie = signedUp.headers.getSetCookie()[0]!.split(";")[0]!;
});
afterAll(async () => {
  await stopPlatform(platform);
});

it("a key with the scope reads its own organization's entries, and another's look as if there were none", async () => {
  const own = await makeKey(platform, ownerCookie, { scopes: ["audit:read"] });
  const eves = await makeKey(platform, eveCookie, { scopes: ["audit:*"] });
  const [ownEntries, evesEntries] = [await entries(own.secret), await entries(eves.secret)];
  expect(actionsOf(ownEntries)).toContain("key.created");
  expect(actionsOf(evesEntries)).toEqual(expect.arrayContaining(["user.signed_up", "key.created"]));
  const [ownOrganization, evesOrganization] = [onlyOrganizationOf(ownEntries), onlyOrganizationOf(evesEntries)];
  expect(ownOrganization).not.toBe(evesOrganization);
  expect(await entries(eves.secret, `?organization_id=${ownOrganization}`)).toEqual([]);
  expect(await entries(eves.secret, `?organization_id=${evesOrganization}`)).not.toEqual([]);
});

it("a service key, which administrators make, reads everything", async () => {
  const { secret } = await makeKey(platform, ownerCookie, { kind: "svc", owner: { kind: "service" }, scopes: ["audit:read"] });
  const seen = new Set((await entries(secret)).map(({ organization_id: id }) => id));
  expect(seen.size).toBeGreaterThanOrEqual(3);
  expect(seen).toContain(null);
});

it("a key without the scope, from elsewhere, unknown or too long is refused", async () => {
  const other = await makeKey(platform, ownerCookie, { scopes: ["ai:*"] });
  const elsewhere = await makeKey(platform, ownerCookie, { scopes: ["audit:read"], ip_allow: ["203.0.113.0/24"] });
  const refused = await read(other.secret);
  expect(refused.status).toBe(403);
  expect(await refused.json()).toMatchObject({ code: "forbidden", required_scope: "audit:read" });
  expect((await read(elsewhere.secret)).status).toBe(403);
  for (const unknown of [`${other.secret.slice(0, -1)}!`, "pv_sk_live_x", `pv_sk_live_${"a".repeat(5000)}`]) {
    const answer = await read(unknown);
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toContain("invalid_token");
  }
});

it("a key opens no route that is for people", async () => {
  const { secret } = await makeKey(platform, ownerCookie, { scopes: ["ai:*", "audit:*"] });
  const answer = await fetch(`${platform.urls.api}/api/auth/token?audience=pv-keys`, { headers: bearer(secret) });
  expect(answer.status).toBe(403);
});

it("after the receipt of its revocation, which names this service, a key reads nothing", async () => {
  const token = await tokenFor(platform, ownerCookie, "pv-keys");
  for (let trial = 0; trial < 20; trial++) {
    const { id, secret } = await makeKey(platform, ownerCookie, { scopes: ["audit:read"] });
    expect((await read(secret)).status).toBe(200);
    const revoked = await postJson(`${platform.urls.keys}/v1/keys/${id}/revoke?wait=1`, {}, bearer(token));
    expect(revoked.status).toBe(200);
    expect((await read(secret)).status).toBe(401);
    const { receipt } = (await revoked.json()) as { receipt: Receipt };
    expect(receipt.nodes.map(({ service }) => service).toSorted()).toEqual(["puabo-api", "puaboai-sdk", "pv-keys"]);
  }
});

it("a session that was ended is heard of by the other services at once", async () => {
  const cookie = await signIn(platform, { email: eve.email, password: eve.password });
  const token = await tokenFor(platform, cookie, "pv-keys");
  const keys = (): Promise<Response> => fetch(`${platform.urls.keys}/v1/keys`, { headers: bearer(token) });
  expect((await keys()).status).toBe(200);
  const origin = platform.urls.api;
  expect((await postJson(`${origin}/api/auth/sign-out`, {}, { cookie, origin })).status).toBe(200);
  const endedAt = performance.now();
  while ((await keys()).status === 200) expect(performance.now() - endedAt).toBeLessThan(250);
  expect((await keys()).status).toBe(401);
});

function read(key: string, query = ""): Promise<Response> {
  return fetch(`${platform.urls.api}/api/audit/events${query}`, { headers: bearer(key) });
}

async function entries(key: string, query = "?limit=100"): Promise<Entry[]> {
  const answer = await read(key, query);
  expect(answer.status).toBe(200);
  return ((await answer.json()) as { data: Entry[] }).data;
}

function actionsOf(list: readonly Entry[]): string[] {
  return list.map(({ action }) => action);
}

function onlyOrganizationOf(list: readonly Entry[]): string | null {
  const found = [...new Set(list.map(({ organization_id: id }) => id))];
  expect(found).toHaveLength(1);
  return found[0]!;
}
