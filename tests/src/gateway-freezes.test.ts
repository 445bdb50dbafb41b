/** The kill switch at the gateway's door: an administrator pulls it where the models are, and pv-keys holds it. */
import type { FreezeAnswer, FreezeRequest } from "@nexus/contracts/freezes";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type PlatformProcess, startPlatform, stopPlatform } from "./platform.ts";
import { bearer, headless, makeKey, postJson, signIn, tokenFor } from "./session.ts";

let platform: PlatformProcess;
let admin: string;
let key: string;

beforeAll(async () => {
  platform = await startPlatform({ env: headless });
  const cookie = await signIn(platform);
  admin = await tokenFor(platform, cookie, "puaboai-sdk");
  key = (await makeKey(platform, cookie)).secret;
});
afterAll(() => stopPlatform(platform));

const freeze = (body: Omit<FreezeRequest, "reason">) =>
  postJson(`${platform.urls.ai}/v1/admin/freeze`, { ...body, reason: "test" }, bearer(admin));
const thaw = (id: string, token = admin) => postJson(`${platform.urls.ai}/v1/admin/thaw`, { id }, bearer(token));

async function chat(): Promise<[number, string | undefined]> {
  const body = { model: "embedded-echo", messages: [{ role: "user", content: "hello" }] };
  const answer = await postJson(`${platform.urls.ai}/v1/chat/completions`, body, bearer(key));
  const { error } = (await answer.json()) as { error?: { code: string } };
  return [answer.status, error?.code];
}

it.each([{ kind: "model", target: "embedded-echo" }, { kind: "provider", target: "nexus" }, { kind: "everything" }] as const)(
  "once the answer is there no call is let through, and after the thaw every one: %j",
  async (body) => {
    expect(await chat()).toEqual([200, undefined]);
    const answer = await freeze(body);
    const frozen = (await answer.json()) as FreezeAnswer;
    expect([answer.status, frozen.receipt.confirmed, frozen.freeze.authority]).toEqual([200, true, "platform"]);
    expect(await chat()).toEqual([403, "frozen"]);
    const thawed = await thaw(frozen.freeze.id);
    expect([thawed.status, ((await thawed.json()) as FreezeAnswer).receipt.confirmed]).toEqual([200, true]);
    expect(await chat()).toEqual([200, undefined]);
  },
);

it.each([
  [{ kind: "model", target: "embeded-echo" }, "is no model of this gateway; the nearest is embedded-echo"],
  [{ kind: "model", target: "something-else-entirely" }, "is no model of this gateway"],
  [{ kind: "provider", target: "nexsus" }, "is no provider of this gateway; the nearest is nexus"],
] as const)("a name that nothing has is refused, and nothing is frozen: %j", async (body, detail) => {
  const answer = await freeze(body);
  expect(answer.status).toBe(422);
  expect(await answer.json()).toMatchObject({ code: "invalid_request", errors: [{ pointer: "/target", detail }] });
  const listed = await fetch(`${platform.urls.keys}/v1/freeze`, {
    headers: bearer(await tokenFor(platform, await signIn(platform), "pv-keys")),
  });
  expect(await listed.json()).toMatchObject({ data: [] });
});

it("a freeze that is not there is not found, and a key pulls no switch", async () => {
  expect((await thaw("frz_01900000000000000000000000")).status).toBe(404);
  expect((await thaw("frz_01900000000000000000000000", key)).status).toBe(403);
});
