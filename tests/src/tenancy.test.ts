import { waitFor } from "@nexus/testing";
/** Two people on one platform: what is one's does not exist for the other. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PlatformProcess, startPlatform, stopPlatform } from "./platform.ts";
import { bearer, headless, makeKey, postJson, signIn, tokenFor } from "./session.ts";

const eve = { email: "eve@example.test", password: "another long pass phrase", name: "Eve" };

let platform: PlatformProcess;
let ownerCookie: string;
let eveCookie: string;
let ownersKey: { id: string; secret: string };
let ownersOrganization: string;

beforeAll(async () => {
  platform = await startPlatform({ env: { ...headless, NEXUS_SIGN_UP: "open" } });
  ownerCookie = await signIn(platform);
  ownersKey = await makeKey(platform, ownerCookie);
  const signedUp = await postJson(`${platform.urls.api}/api/auth/sign-up/email`, eve);
  if (!signedUp.ok) throw new Error(`sign-up answered ${signedUp.status}`);
  eveCookie = signedUp.headers.getSetCookie()[0]!.split(";")[0]!;
  const body = { model: "embedded-echo", messages: [{ role: "user", content: "mine" }] };
  await postJson(`${platform.urls.ai}/v1/chat/completions`, body, bearer(ownersKey.secret));
  const rows = await waitFor(async () => {
    const { data } = await usageOf(bearer(ownersKey.secret));
    return data.length === 1 ? data : undefined;
  });
  ownersOrganization = rows[0]!.organization_id;
});
afterAll(async () => {
  await stopPlatform(platform);
});

describe("another person", () => {
  it("does not see, read or revoke the owner's key", async () => {
    const headers = bearer(await tokenFor(platform, eveCookie, "pv-keys"));
    expect(await (await fetch(`${platform.urls.keys}/v1/keys`, { headers })).json()).toMatchObject({ data: [] });
    expect((await fetch(`${platform.urls.keys}/v1/keys/${ownersKey.id}`, { headers })).status).toBe(404);
    expect((await fetch(`${platform.urls.keys}/v1/keys/${ownersKey.id}/revoke`, { method: "POST", headers })).status).toBe(404);
    expect((await fetch(`${platform.urls.ai}/v1/models`, { headers: bearer(ownersKey.secret) })).status).toBe(200);
  });

  it("makes no key for services", async () => {
    const headers = bearer(await tokenFor(platform, eveCookie, "pv-keys"));
    const answer = await postJson(`${platform.urls.keys}/v1/keys`, { name: "x", kind: "svc", scopes: ["keys:verify"] }, headers);
    expect(answer.status).toBe(403);
  });

  it("sees no usage of the owner's, whatever they filter by", async () => {
    const headers = bearer(await tokenFor(platform, eveCookie, "puaboai-sdk"));
    expect((await usageOf(headers)).data).toEqual([]);
    for (const filter of [`organization_id=${ownersOrganization}`, `key_id=${ownersKey.id}`]) {
      const answer = await fetch(`${platform.urls.ai}/v1/usage?${filter}`, { headers });
      const { data = [] } = (await answer.json()) as { data?: unknown[] };
      expect(data).toEqual([]);
    }
  });

  it("reads no audit log and sets no budget", async () => {
    expect((await fetch(`${platform.urls.api}/api/audit/events`, { headers: { cookie: eveCookie } })).status).toBe(403);
    const headers = { ...bearer(await tokenFor(platform, eveCookie, "puaboai-sdk")), "content-type": "application/json" };
    expect((await fetch(`${platform.urls.ai}/v1/admin/budgets`, { headers })).status).toBe(403);
    const put = { method: "PUT", headers, body: JSON.stringify({ limit_nanos: "1000000000" }) };
    expect((await fetch(`${platform.urls.ai}/v1/admin/budgets/${ownersOrganization}`, put)).status).toBe(403);
  });

  it("has a session of their own: ending it leaves the owner's alone", async () => {
    const origin = platform.urls.api;
    const answer = await postJson(`${origin}/api/auth/sign-out`, {}, { cookie: eveCookie, origin });
    expect(answer.status).toBe(200);
    const session = (cookie: string): Promise<unknown> =>
      fetch(`${origin}/api/auth/get-session`, { headers: { cookie } }).then((one) => one.json());
    expect(await session(eveCookie)).toBeNull();
    expect(await session(ownerCookie)).toMatchObject({ user: { role: "admin" } });
  });
});

it("a page of another origin cannot sign anybody out", async () => {
  const answer = await postJson(
    `${platform.urls.api}/api/auth/sign-out`,
    {},
    { cookie: ownerCookie, origin: "https://evil.example" },
  );
  expect(answer.status).toBe(403);
  const still = await fetch(`${platform.urls.api}/api/auth/get-session`, { headers: { cookie: ownerCookie } });
  expect(await still.json()).not.toBeNull();
});

async function usageOf(headers: Record<string, string>): Promise<{ data: { organization_id: string }[] }> {
  return (await (await fetch(`${platform.urls.ai}/v1/usage`, { headers })).json()) as { data: { organization_id: string }[] };
}
