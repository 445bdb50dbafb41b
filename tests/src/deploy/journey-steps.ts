/** What a user does with a deployment. */
import { must, until } from "./engine.ts";
import type { Scene } from "./scene.ts";
import { admin, ask, chat, expectStatus, signIn, tokenFor } from "./user.ts";

export async function setUp({ origins }: Scene): Promise<void> {
  const log = await must("docker", ["logs", "puabo-api"]);
  const code = /[?&]code=([A-Za-z0-9_-]+)/.exec(log)?.[1];
  if (!code) throw new Error("the log of puabo-api shows no one-time set-up link");
  const answer = await ask(`${origins.api}/setup`, { body: { code, ...admin } });
  if (answer.status >= 300) throw new Error(`set-up was answered with ${answer.status}: ${answer.text.slice(0, 300)}`);
  const again = await ask(`${origins.api}/setup`, { body: { code, ...admin, email: "other@example.com" } });
  if (again.status < 400) throw new Error("the one-time code worked twice");
}

export async function makeKey(scene: Scene): Promise<void> {
  const { origins } = scene;
  const bearer = await tokenFor(origins, await signIn(origins), "pv-keys");
  const answer = expectStatus(
    await ask(`${origins.keys}/v1/keys`, { bearer, body: { name: "deployment test" } }),
    201,
    "making a key",
  );
  scene.key = String(answer.body["secret"]);
  scene.keyId = String((answer.body["key"] as Record<string, unknown>)["id"]);
}

export async function talkToModels({ origins, key }: Scene): Promise<void> {
  const models = expectStatus(await ask(`${origins.ai}/v1/models`, { bearer: key }), 200, "models");
  for (const model of ["embedded-guide", "embedded-echo", "use-lite-en-512"]) {
    if (!models.text.includes(model)) throw new Error(`${model} is not among the models`);
  }
  expectStatus(await chat(origins, key), 200, "chat");
  const stream = expectStatus(await chat(origins, key, { stream: true }), 200, "chat, streaming");
  if (!stream.text.trimEnd().endsWith("data: [DONE]")) throw new Error("the stream does not end with [DONE]");
  const question = { model: "embedded-guide", messages: [{ role: "user", content: "How do I add a real model?" }] };
  const guide = expectStatus(await ask(`${origins.ai}/v1/chat/completions`, { bearer: key, body: question }), 200, "the guide");
  if (!guide.text.includes("docs/")) throw new Error("the guide quotes no page: the documentation is not in the image");
  const input = { model: "use-lite-en-512", input: "a sentence" };
  const vector = expectStatus(await ask(`${origins.ai}/v1/embeddings`, { bearer: key, body: input }), 200, "embeddings");
  const [first] = vector.body["data"] as { embedding: number[] }[];
  if (first?.embedding.length !== 512) throw new Error("the embedding has not 512 numbers");
}

export async function seeRecords({ origins, key, keyId }: Scene): Promise<void> {
  const requestId = expectStatus(await chat(origins, key), 200, "chat").headers.get("x-request-id");
  if (!requestId) throw new Error("the answer has no x-request-id");
  await until("the call in /v1/usage", 10_000, async () =>
    (await ask(`${origins.ai}/v1/usage`, { bearer: key })).text.includes(requestId),
  );
  const cookie = await signIn(origins);
  await until("the key in the audit log", 10_000, async () =>
    (await ask(`${origins.api}/api/audit/events`, { cookie })).text.includes(keyId),
  );
  const events = await ask(`${origins.api}/api/audit/events`, { cookie });
  if (!events.text.includes("deploy.completed")) throw new Error("the deployment is not in the audit log");
}

export async function seeRefusals({ origins }: Scene): Promise<void> {
  expectStatus(await chat(origins, undefined), 401, "chat without a key");
  expectStatus(await chat(origins, "pv_sk_live_wrong"), 401, "chat with a bad key");
  expectStatus(await ask(`${origins.keys}/v1/keys`), 401, "keys without a credential");
  expectStatus(await ask(`${origins.api}/api/audit/events`), 401, "audit without a credential");
  expectStatus(await ask(`${origins.api}/metrics`), 404, "metrics on the published port");
}

export async function seeModules({ origins }: Scene): Promise<void> {
  for (const origin of Object.values(origins) as string[]) {
    for (const path of ["/", "/health", "/livez", "/readyz", "/openapi.json", "/docs", "/problems/unauthenticated"]) {
      const { status } = await ask(origin + path);
      if (status !== 200) throw new Error(`${origin}${path} answered ${status}`);
    }
  }
  expectStatus(await ask(`${origins.api}/api/status`), 200, "/api/status");
}
