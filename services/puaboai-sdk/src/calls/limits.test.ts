/** The limits of a key as its holder meets them at the gateway. */
import { newUuid, uuidOf } from "@nexus/core";
import {
  chatAnswer,
  type FakeUpstream,
  type GatewayScene,
  openGatewayScene,
  startFakeUpstream,
  startRedisProcess,
  type RedisProcess,
  waitFor,
} from "@nexus/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { RunningService } from "../service.ts";
import { post, startTestGateway } from "../start-test-gateway.test.ts";

let scene: GatewayScene;
let provider: FakeUpstream;
let redis: RedisProcess;
const gateways: RunningService[] = [];

beforeAll(async () => {
  [scene, provider, redis] = await Promise.all([openGatewayScene(), startFakeUpstream(), startRedisProcess("embedded")]);
  const yaml = `
providers:
  fake: { base_url: "${provider.baseUrl}", allow_private_network: true }
models:
  - { id: free, provider: fake, kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: free }
`;
  for (const spool of ["one", "two"]) {
    gateways.push(
      await startTestGateway(scene, {
        yaml,
        variables: { NEXUS_SPOOL_DIR: `${scene.directory}/${spool}`, REDIS_URL: redis.target.url },
      }),
    );
  }
});
afterAll(async () => {
  for (const gateway of gateways) await gateway.close();
  await redis.kill();
  await provider.close();
  await scene.close();
});
beforeEach(() => provider.answerWith(chatAnswer()));

function call(key: string, gateway = gateways[0]!, model = "free"): Promise<Response> {
  return post(`${gateway.url}/v1/chat/completions`, key, { model, messages: [{ role: "user", content: "hello" }] });
}

/** A new key; in a moment, so that Redis holds no generation that is younger. */
function issue(change: Parameters<GatewayScene["pvKeys"]["issue"]>[0]): { key: string; id: string } {
  return scene.pvKeys.issue({ created_at: new Date(Date.now() + 1000).toISOString(), ...change });
}

const errorOf = async (answer: Response) => ((await answer.json()) as { error: Record<string, unknown> }).error;

test("every answer says how the limits stand, and the call beyond them is refused in the dialect", async () => {
  const { key } = issue({
    limits: [
      { name: "minute", limit: 3, window_seconds: 60 },
      { name: "day", limit: 1000, window_seconds: 86_400 },
    ],
  });
  const first = await call(key);
  expect(first.status).toBe(200);
  expect(first.headers.get("ratelimit-policy")).toBe('"minute";q=3;w=60, "day";q=1000;w=86400');
  expect(first.headers.get("ratelimit")).toMatch(/^"minute";r=2;t=20, "day";r=999;t=8[67]$/);
  expect(first.headers.get("x-ratelimit-limit-requests")).toBe("3");
  expect(first.headers.get("x-ratelimit-remaining-requests")).toBe("2");
  expect(first.headers.get("x-ratelimit-reset-requests")).toMatch(/^\d+ms$/);
  // A call that fails for another reason was a call.
  expect((await call(key, gateways[1], "no-such-model")).status).toBe(404);
  expect((await call(key, gateways[1])).status).toBe(200);
  const refused = await call(key);
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(18);
  expect(Number(refused.headers.get("retry-after"))).toBeLessThanOrEqual(20);
  expect(Number(refused.headers.get("retry-after-ms"))).toBeGreaterThan(18_000);
  expect(refused.headers.get("ratelimit")).toContain('"minute";r=0');
  expect(await errorOf(refused)).toMatchObject({ type: "rate_limit_error", code: "rate_limited" });
});

test("a refused call reaches no provider and leaves no usage row", async () => {
  const { key, id } = issue({ limits: [{ name: "hour", limit: 1, window_seconds: 3600 }] });
  expect((await call(key)).status).toBe(200);
  provider.received.length = 0;
  for (let refused = 0; refused < 20; refused++) expect((await call(key, gateways[refused % 2])).status).toBe(429);
  expect(provider.received).toHaveLength(0);
  const keyId = uuidOf("key", id)!;
  await waitFor(async () => {
    const rows = await scene.owner.db.selectFrom("usage_events").select("request_id").where("key_id", "=", keyId).execute();
    return rows.length === 1;
  });
});

test("a slot is taken until the last byte of a call, over both processes, and not longer", async () => {
  const { key } = issue({ concurrency: 1 });
  let answer = (): void => {};
  const answering = new Promise<void>((resolve) => (answer = resolve));
  provider.answerWith(async (...exchange) => {
    await answering;
    await chatAnswer()(...exchange);
  });
  provider.received.length = 0;
  const running = call(key);
  await waitFor(() => provider.received.length === 1);
  for (const gateway of gateways) {
    const refused = await call(key, gateway);
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(refused.headers.get("ratelimit")).toBeNull();
    expect(await errorOf(refused)).toMatchObject({ code: "concurrency_exceeded" });
  }
  answer();
  expect((await running).status).toBe(200);
  provider.answerWith(chatAnswer());
  await waitFor(async () => (await call(key, gateways[1])).status === 200);
});

test("a quota admits its last use and no further one", async () => {
  const id = newUuid();
  const { organizationId } = await scene.issueKey();
  await scene.owner.db
    .insertInto("api_keys")
    .values({
      id,
      organization_id: uuidOf("organization", organizationId)!,
      owner_kind: "organization",
      name: "with a quota",
      kind: "sk",
      environment: "test",
      rev: 1n,
      quota_limit: 4n,
      quota_refill: "month",
    })
    .execute();
  const { key } = issue({ key_id: `key_${id}`, quota: { limit: 4, refill: "month" } });
  const answers = await Promise.all(Array.from({ length: 10 }, (_, index) => call(key, gateways[index % 2])));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(4);
  const refused = answers.find(({ status }) => status === 429)!;
  expect(await errorOf(refused)).toMatchObject({ code: "quota_exceeded", type: "insufficient_quota" });
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(1);
});

test("while Redis hangs calls go on, and no more than one window beyond the limit", async () => {
  const { key } = issue({ limits: [{ name: "hour", limit: 20, window_seconds: 3600 }] });
  expect((await call(key)).status).toBe(200);
  redis.pause();
  try {
    const statuses: number[] = [];
    for (let asked = 0; asked < 60; asked++) statuses.push((await call(key, gateways[asked % 2])).status);
    expect(new Set(statuses)).toEqual(new Set([200, 429]));
    expect(statuses.filter((status) => status === 200).length).toBeLessThan(40);
  } finally {
    redis.resume();
  }
});
