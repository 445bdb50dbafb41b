/** What the tests of this service share: a gateway in a scene, calls to it, and the rows that they leave. */
import { type Environment, loadConfig } from "@nexus/config";
import { uuidOf } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, type GatewayScene, openGatewayScene, waitFor } from "@nexus/testing";
import { expect, test } from "vitest";
import type { GatewayConfig } from "./config.ts";
import { configRules, configSchema, type RunningService, startService } from "./service.ts";

interface TestGateway {
  /** gateway.yaml; without it only the embedded models answer. */
  yaml?: string;
  /** Variables beside those of the scene. */
  variables?: Record<string, string>;
  /** Where the keys of providers are looked up that gateway.yaml names. */
  secrets?: Environment;
  /** What takes the place of what was read. */
  config?: Partial<GatewayConfig>;
  logs?: ReturnType<typeof captureLogs>;
}

export async function startTestGateway(
  scene: GatewayScene,
  { yaml, variables = {}, secrets = {}, config: change = {}, logs = captureLogs() }: TestGateway = {},
): Promise<RunningService> {
  const file = yaml === undefined ? {} : { NEXUS_GATEWAY_CONFIG: scene.writeSettings(yaml) };
  const config = loadConfig(configSchema, { ...scene.environment, ...file, ...variables, PORT: "1" }, configRules);
  const logger = createLogger({ service: "puaboai-sdk", level: "debug", destination: logs.stream });
  return await startService({ ...config, ...change, PORT: 0 }, { logger, environment: secrets });
}

/** A call as a program makes it. @param bearer a key, or a person's token */
export function post(url: string, bearer: string, body: unknown): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

/** The usage row of the request that this is the answer to, when it is there. */
export async function rowOf({ owner }: GatewayScene, answer: Response) {
  const requestId = uuidOf("request", answer.headers.get("x-request-id")!)!;
  return await waitFor(() =>
    owner.db.selectFrom("usage_events").selectAll().where("request_id", "=", requestId).executeTakeFirst(),
  );
}

// Other test files import this one, and must not run its own test with theirs.
// oxlint-disable-next-line vitest/no-conditional-tests
if (expect.getState().testPath === import.meta.filename) {
  test("the gateway starts with an empty file, answers a call and leaves its row", async () => {
    const scene = await openGatewayScene();
    const gateway = await startTestGateway(scene, { yaml: "" });
    const { key } = await scene.issueKey();
    const said = { model: "embedded-echo", messages: [{ role: "user", content: "hello" }] };
    const answer = await post(`${gateway.url}/v1/chat/completions`, key, said);
    expect(await answer.json()).toMatchObject({ choices: [{ message: { content: "hello" } }] });
    expect(await rowOf(scene, answer)).toMatchObject({ model: "embedded-echo", outcome: "ok" });
    await gateway.close();
    await scene.close();
  });
}
