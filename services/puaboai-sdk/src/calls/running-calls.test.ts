/** Calls under way are cut when their key ends or something freezes them; on a real change feed, with a provider that takes its time. */
import { newUuid, uuidOf } from "@nexus/core";
import {
  chatAnswer,
  chatStream,
  type FakeUpstream,
  type GatewayScene,
  openGatewayScene,
  recordTestChange,
  silence,
  startFakeUpstream,
  waitFor,
} from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { RunningService } from "../service.ts";
import { post, startTestGateway } from "../start-test-gateway.test.ts";

let scene: GatewayScene;
let provider: FakeUpstream;
let gateway: RunningService;

beforeAll(async () => {
  [scene, provider] = await Promise.all([openGatewayScene(), startFakeUpstream()]);
  const chat = "kind: chat, context_tokens: 8000, max_output_tokens: 1000";
  const price = "{ unit: usd_per_million_tokens, input: '1', output: '10', source: test, effective: 2026-01-01 }";
  const yaml = `
providers: { fake: { base_url: "${provider.baseUrl}", allow_private_network: true } }
models:
  - { id: free, provider: fake, ${chat}, price: free }
  - { id: other, provider: fake, ${chat}, price: free }
  - { id: priced, provider: fake, ${chat}, price: ${price} }
`;
  gateway = await startTestGateway(scene, { yaml });
});
afterAll(async () => {
  await gateway.close();
  await provider.close();
  await scene.close();
});
/** Frames enough for a minute. */
const slowly = chatStream({ texts: Array.from({ length: 1200 }, (_, i) => `w${i} `), delayMs: 50 });
beforeEach(() => {
  provider.received.length = 0;
  provider.answerWith(slowly);
});
afterEach(thaw);

function call(credential: string, { model = "free", stream = true } = {}): Promise<Response> {
  return post(`${gateway.url}/v1/chat/completions`, credential, {
    model,
    stream,
    messages: [{ role: "user", content: "hello" }],
  });
}

/** Reads a stream to its end, and tells when its first frame is here. */
function reading(answer: Response): { begun: Promise<void>; whole: Promise<string> } {
  const { promise: begun, resolve } = Promise.withResolvers<void>();
  const whole = (async () => {
    let text = "";
    for await (const chunk of answer.body!) {
      text += Buffer.from(chunk).toString();
      resolve();
    }
    return text;
  })();
  return { begun, whole };
}

type FrozenKind = "everything" | "organization" | "owner" | "key" | "model" | "provider" | "environment";

async function freeze(target_kind: FrozenKind, target = "") {
  const id = newUuid();
  const row = {
    id,
    authority: "platform",
    target_kind,
    target,
    organization_id: null,
    reason: "test",
    created_by: id,
    rev: 0n,
  } as const;
  await scene.owner.db.insertInto("freezes").values(row).execute();
  await recordTestChange(scene.owner, "freeze", id);
}

async function thaw(): Promise<void> {
  await sql`UPDATE freezes SET thawed_at = now(), thawed_by = id WHERE thawed_at IS NULL`.execute(scene.owner.db);
  const rev = await recordTestChange(scene.owner, "freeze", newUuid());
  await waitFor(async () => {
    const { rows } = await sql<{
      applied: boolean;
    }>`SELECT bool_and(applied_rev >= ${rev}) AS applied FROM verifier_leases`.execute(scene.owner.db);
    return rows[0]!.applied;
  });
}

async function usageOf(keyId: string) {
  return await waitFor(async () => {
    const rows = await scene.owner.db
      .selectFrom("usage_events")
      .select(["outcome", "error_code", "http_status", "cost_nanos", "output_tokens", "usage_source"])
      .where("key_id", "=", uuidOf("key", keyId)!)
      .execute();
    return rows.find(({ outcome }) => outcome !== "crash");
  });
}

const errorOf = async (answer: Response) => ((await answer.json()) as { error: Record<string, unknown> }).error;

describe("a stream", () => {
  test.each(["revoked", "disabled"] as const)(
    "whose key is %s ends with an error frame, and the provider stops working",
    async (state) => {
      const { key, id } = await scene.issueKey({ budgetNanos: 1_000_000_000n });
      const { begun, whole } = reading(await call(key, { model: "priced" }));
      await begun;
      await scene.pvKeys.change(key, { state });
      const frames = (await whole).split("\n\n").filter((frame) => frame !== "");
      expect(frames.join()).not.toContain("[DONE]");
      const last = JSON.parse(frames.at(-1)!.slice("data: ".length)) as { error: Record<string, unknown> };
      expect(last.error).toMatchObject({ code: "key_revoked", type: "authentication_error" });
      await waitFor(() => provider.received[0]?.abortedAt !== undefined);
      const usage = await usageOf(id);
      expect(usage).toMatchObject({ outcome: "aborted", error_code: "key_revoked", http_status: 200, usage_source: "counted" });
      expect(usage.output_tokens).toBeGreaterThan(0n);
      expect(usage.cost_nanos).toBeGreaterThan(0n);
    },
  );

  test("whose key is changed and still good goes on to its end", async () => {
    provider.answerWith(chatStream({ texts: Array.from({ length: 30 }, () => "w "), delayMs: 50 }));
    const { key } = scene.pvKeys.issue();
    const { begun, whole } = reading(await call(key));
    await begun;
    await scene.pvKeys.change(key, { tags: ["changed"] });
    expect(await whole).toContain("[DONE]");
  });

  test("whose key expires is cut then, and not one whose expiry was moved meanwhile", async () => {
    provider.answerWith(chatStream({ texts: Array.from({ length: 60 }, () => "w "), delayMs: 50 }));
    const expiresAt = Date.now() + 1200;
    const [one, other] = [1, 2].map(() => scene.pvKeys.issue({ expires_at: new Date(expiresAt).toISOString() }));
    const [cut, kept] = [reading(await call(one!.key)), reading(await call(other!.key))];
    await Promise.all([cut.begun, kept.begun]);
    await scene.pvKeys.change(other!.key, { expires_at: new Date(expiresAt + 3_600_000).toISOString() });
    expect(await cut.whole).toContain('"code":"key_revoked"');
    // PostgreSQL's time as the feed knows it: a round trip early, never late.
    expect(Date.now()).toBeGreaterThanOrEqual(expiresAt - 300);
    expect(Date.now()).toBeLessThan(expiresAt + 1000);
    expect(await kept.whole).toContain("[DONE]");
  });

  test("whose key ends by a rotation without overlap is cut", async () => {
    const { key } = scene.pvKeys.issue();
    const { begun, whole } = reading(await call(key));
    await begun;
    await scene.pvKeys.change(key, { expires_at: new Date(Date.now() - 1000).toISOString() });
    expect(await whole).toContain('"code":"key_revoked"');
  });

  test.each(["everything", "organization", "model", "provider", "environment"] as const)(
    "that a freeze of %s meets is cut; others go on",
    async (kind) => {
      const { key, organizationId } = scene.pvKeys.issue();
      const other = scene.pvKeys.issue({ environment: "live" });
      const { begun, whole } = reading(await call(key));
      const beside = reading(await call(other.key, { model: "other" }));
      await Promise.all([begun, beside.begun]);
      await freeze(
        kind,
        { everything: "", organization: organizationId, model: "free", provider: "fake", environment: "test" }[kind],
      );
      const text = await whole;
      expect(text).toContain('"code":"frozen"');
      expect(text).toContain(`"frozen":"${kind}"`);
      expect(text).not.toContain("[DONE]");
      if (kind === "everything" || kind === "provider") expect(await beside.whole).toContain('"code":"frozen"');
      else {
        await scene.pvKeys.change(other.key, { state: "revoked" });
        expect(await beside.whole).toContain('"code":"key_revoked"');
      }
    },
  );
});

test("a call that has had no answer yet gets the error, and nothing that the provider may have done is free", async () => {
  provider.answerWith(silence());
  const { key, id } = await scene.issueKey({ budgetNanos: 1_000_000_000n });
  const asked = call(key, { model: "priced", stream: false });
  await waitFor(() => provider.received.length === 1);
  await scene.pvKeys.change(key, { state: "revoked" });
  const answer = await asked;
  expect(answer.status).toBe(401);
  expect(answer.headers.get("www-authenticate")).toContain("invalid_token");
  expect(await errorOf(answer)).toMatchObject({ code: "key_revoked" });
  await waitFor(() => provider.received[0]!.abortedAt !== undefined);
  const usage = await usageOf(id);
  expect(usage).toMatchObject({ outcome: "aborted", error_code: "key_revoked", http_status: 401, usage_source: "bound" });
  expect(usage.cost_nanos).toBeGreaterThan(0n);
});

describe("while something is frozen", () => {
  beforeEach(() => provider.answerWith(chatAnswer()));

  test("calls of a frozen model or provider are refused in the dialect and reach nobody; other models go on", async () => {
    const { key } = scene.pvKeys.issue();
    expect((await call(key, { stream: false })).status).toBe(200);
    await freeze("model", "free");
    await waitFor(async () => (await call(key, { stream: false })).status === 403);
    const before = provider.received.length;
    const refused = await call(key, { stream: false });
    expect(refused.status).toBe(403);
    expect(await errorOf(refused)).toMatchObject({
      code: "frozen",
      type: "permission_error",
      message: "The model is frozen at the moment.",
      frozen: "model",
      frozen_target: "free",
    });
    expect(provider.received).toHaveLength(before);
    expect((await call(key, { model: "other", stream: false })).status).toBe(200);
    await freeze("provider", "fake");
    await waitFor(async () => (await call(key, { model: "other", stream: false })).status === 403);
  });

  test.each(["organization", "environment", "key"] as const)("a frozen %s is named by its kind alone", async (kind) => {
    const { key, id, organizationId } = scene.pvKeys.issue();
    const target = { organization: organizationId, environment: "test", key: id }[kind];
    await freeze(kind, target);
    const refused = await waitFor(async () => {
      const answer = await call(key, { stream: false });
      return answer.status === 403 && answer;
    });
    const error = await errorOf(refused);
    expect(error).toMatchObject({ code: "frozen", frozen: kind });
    expect(error).not.toHaveProperty("frozen_target");
  });

  test("a person's calls are refused too, and their other routes are not", async () => {
    const person = scene.issuer.person();
    const token = scene.issuer.token(person, "puaboai-sdk");
    expect((await call(token, { stream: false })).status).toBe(200);
    await freeze("owner", person.userId);
    await waitFor(async () => (await call(token, { stream: false })).status === 403);
    expect(await errorOf(await call(token, { stream: false }))).toMatchObject({ code: "frozen", frozen: "owner" });
    const models = await fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${token}` } });
    expect(models.status).toBe(200);
  });
});
