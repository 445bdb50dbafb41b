/** A call that a budget does not cover whole is made with the cap that it does cover, where model or route allow that. */
import { newUuid, uuidOf } from "@nexus/core";
import { chatAnswer, type FakeUpstream, type GatewayScene, openGatewayScene, startFakeUpstream, waitFor } from "@nexus/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { RunningService } from "../service.ts";
import { post, startTestGateway } from "../start-test-gateway.test.ts";

let scene: GatewayScene;
let provider: FakeUpstream;
let gateway: RunningService;

/** Nano-dollars of a token. */
const [input, output] = [1000n, 10_000n];

beforeAll(async () => {
  [scene, provider] = await Promise.all([openGatewayScene(), startFakeUpstream()]);
  const price = 'price: { unit: usd_per_million_tokens, input: "1", output: "10", source: test, effective: 2026-01-01 }';
  const chat = `kind: chat, context_tokens: 8000, max_output_tokens: 1000, ${price}`;
  const yaml = `
providers:
  chat: { base_url: "${provider.baseUrl}", allow_private_network: true }
  responses: { base_url: "${provider.baseUrl}", allow_private_network: true, wire_formats: [openai-responses] }
  messages: { base_url: "${provider.baseUrl}", allow_private_network: true, wire_formats: [anthropic-messages] }
models:
  - { id: firm, provider: chat, ${chat} }
  - { id: chat, provider: chat, clamp_output: true, ${chat} }
  - { id: responses, provider: responses, clamp_output: true, ${chat} }
  - { id: messages, provider: messages, clamp_output: true, ${chat} }
routes:
  soft: { targets: [firm], clamp_output: true }
  hard: { targets: [chat] }
`;
  gateway = await startTestGateway(scene, { yaml });
});
afterAll(async () => {
  await gateway.close();
  await provider.close();
  await scene.close();
});
beforeEach(() => {
  provider.received.length = 0;
  provider.answerWith(chatAnswer());
});

const paths = { chat: "/v1/chat/completions", responses: "/v1/responses", messages: "/v1/messages" } as const;
type Client = keyof typeof paths;
const said = { messages: [{ role: "user", content: "hello" }] };
/** What each client says where it wants at most 900 tokens. */
const asked = {
  chat: { ...said, max_tokens: 900 },
  responses: { input: "hello", max_output_tokens: 900 },
  messages: { ...said, max_tokens: 900 },
};

interface Told {
  status: number;
  cap: number;
  body: { available_nanos: string; error: { code: string } };
}
async function ask(
  key: string,
  model: string,
  { client = "chat", body = {} }: { client?: Client; body?: object } = {},
): Promise<Told> {
  const answer = await post(gateway.url + paths[client], key, { model, ...asked[client], ...body });
  const text = await answer.text();
  const parsed = text.startsWith("{") ? (JSON.parse(text) as Told["body"]) : ({} as Told["body"]);
  return { status: answer.status, cap: Number(answer.headers.get("x-nexus-max-tokens")), body: parsed };
}

interface Sent {
  max_tokens?: number;
  max_completion_tokens?: number;
  max_output_tokens?: number;
}
/** The caps that the provider was sent, and the length of each body. */
const sent = () =>
  provider.received.map(({ body }) => {
    const fields = JSON.parse(body.toString()) as Sent;
    return fields.max_tokens ?? fields.max_completion_tokens ?? fields.max_output_tokens;
  });

const keyWith = (budgetNanos: bigint) => scene.issueKey({ budgetNanos });
const accountOf = (organizationId: string) =>
  scene.owner.db
    .selectFrom("budget_accounts")
    .innerJoin("budgets", "budgets.id", "budget_accounts.budget_id")
    .select(["settled_nanos", "granted_nanos"])
    .where("organization_id", "=", uuidOf("organization", organizationId)!)
    .executeTakeFirst();

test.each([
  ["chat", "chat"],
  ["chat", "messages"],
  ["responses", "responses"],
  ["responses", "chat"],
  ["messages", "messages"],
  ["messages", "chat"],
] as const)(
  "a %s client of a %s provider is told the cap that its budget covers, and the provider is sent it",
  async (client, model) => {
    const limit = 5_000_000n;
    const { key } = await keyWith(limit);
    const answer = await ask(key, model, { client });
    // The provider does not speak every format: what counts is what it was asked.
    expect([200, 502]).toContain(answer.status);
    const [cap] = sent();
    expect(cap).toBeLessThan(900);
    // The input is a token for every byte and 1,024 for the provider's template.
    const length = BigInt(JSON.stringify({ model, ...asked[client] }).length + 1024);
    expect(BigInt(cap!)).toBe((limit - length * input) / output);
    if (answer.status === 200) expect(answer.cap).toBe(cap);
  },
);

test("what the budget covers is asked for as it is, also without a cap of the client's", async () => {
  const { key } = await keyWith(100_000_000n);
  expect(await ask(key, "chat")).toMatchObject({ status: 200, cap: 0 });
  expect(await ask(key, "chat", { body: { max_tokens: undefined } })).toMatchObject({ status: 200, cap: 1000 });
  expect(sent()).toEqual([900, 1000]);
});

test("the cap is that of each of several answers", async () => {
  const limit = 5_000_000n;
  const { key } = await keyWith(limit);
  const { cap } = await ask(key, "chat", { body: { n: 3 } });
  const length = BigInt(JSON.stringify({ model: "chat", ...asked.chat, n: 3 }).length + 1024);
  expect(BigInt(cap)).toBe((limit - length * input) / output / 3n);
  expect(sent()).toEqual([cap]);
});

test("a model that does not allow it, or a route that does not, refuses and says what is left", async () => {
  const { key } = await keyWith(5_000_000n);
  for (const model of ["firm", "hard"]) {
    const { status, body } = await ask(key, model);
    expect([status, body.error.code]).toEqual([402, "budget_exceeded"]);
  }
  expect(provider.received).toHaveLength(0);
  expect(await ask(key, "soft")).toMatchObject({ status: 200 });
});

test("a message keeps room for its thinking: a cap that its provider would refuse is not sent", async () => {
  const { key, organizationId } = await keyWith(5_000_000n);
  const thinking = (budget: number) =>
    ({ client: "messages", body: { thinking: { type: "enabled", budget_tokens: budget } } }) as const;
  expect(await ask(key, "messages", thinking(800))).toMatchObject({ status: 402, body: { error: { type: "billing_error" } } });
  expect(provider.received).toHaveLength(0);
  await waitFor(async () => ((await accountOf(organizationId))?.granted_nanos ?? 0n) === 0n);
  await ask(key, "messages", thinking(100));
  expect(sent()[0]).toBeGreaterThan(116);
  // Told in another format, thinking is fitted to the cap; beyond the client's own cap it is not part of it.
  await ask(key, "chat", thinking(800));
  await ask(key, "messages", thinking(5000));
  expect(sent()).toHaveLength(3);
});

test("of several budgets the tightest decides, and a stream is capped as a whole answer is", async () => {
  const { key, id, organizationId } = await keyWith(5_000_000n);
  const [budgetId, keyLimit] = [newUuid(), 2_000_000n];
  const of = { organization_id: uuidOf("organization", organizationId)!, level: "key" as const, subject: uuidOf("key", id)! };
  await scene.owner.db
    .insertInto("budgets")
    .values({ id: budgetId, ...of, limit_nanos: keyLimit })
    .execute();
  await ask(key, "chat", { body: { stream: true } });
  const length = BigInt(JSON.stringify({ model: "chat", ...asked.chat, stream: true }).length + 1024);
  expect(sent().map(BigInt as (cap: number | undefined) => bigint)).toEqual([(keyLimit - length * input) / output]);
});

test("an answer that would be too short to be of use is refused, and nothing is left set aside", async () => {
  const { key, organizationId } = await keyWith(1_250_000n);
  expect(await ask(key, "chat")).toMatchObject({ status: 402 });
  expect(provider.received).toHaveLength(0);
  await waitFor(async () => ((await accountOf(organizationId))?.granted_nanos ?? 0n) === 0n);
});

test("calls at once share what is left, and spend no more", async () => {
  const limit = 40_000_000n;
  const { key, organizationId } = await keyWith(limit);
  // Each is billed for all that it may write.
  provider.answerWith((response, request) => {
    const { max_tokens: cap } = JSON.parse(request.body.toString()) as Sent;
    return chatAnswer({ usage: { prompt_tokens: 100, completion_tokens: cap! } })(response, request);
  });
  const answers = await Promise.all(Array.from({ length: 30 }, () => ask(key, "chat")));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 402]));
  const account = await waitFor(async () => {
    const found = await accountOf(organizationId);
    return found?.granted_nanos === 0n && found;
  });
  expect(account.settled_nanos).toBeLessThanOrEqual(limit);
  const caps = sent().map((cap) => BigInt(cap!));
  expect(account.settled_nanos).toBe(caps.reduce((sum, cap) => sum + 100n * input + cap * output, 0n));
});
