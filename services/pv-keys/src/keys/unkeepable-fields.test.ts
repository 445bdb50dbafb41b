/** What JSON and RFC 3339 can say and the platform cannot keep is refused by name: never a 500, never kept as something else. */
import { loadConfig } from "@nexus/config";
import type { CreatedKey, Key } from "@nexus/contracts/keys";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, type KeysScene, openKeysScene, type ScenePerson } from "@nexus/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";

let scene: KeysScene;
let service: RunningService;
let admin: ScenePerson;
let key: Key;

beforeAll(async () => {
  scene = await openKeysScene();
  admin = await scene.person(["admin"]);
  const logger = createLogger({ service: "pv-keys", level: "debug", destination: captureLogs().stream });
  service = await startService(loadConfig(configSchema, scene.environment, configRules), { logger });
  ({ key } = (await (await call("/v1/keys", { body: { name: "kept" } })).json()) as CreatedKey);
});
afterAll(async () => {
  await service.close();
  await scene.close();
});

describe("a moment that no calendar of ours has", () => {
  const moments = ["9999-12-31T23:59:59-12:00", "2030-12-31T23:59:60Z", "2030-06-30T18:59:60-05:00", "0000-01-01T00:00:00+01:00"];

  it.each(moments)("%s is no expiry, of a new key or an old one, and the list goes on", async (moment) => {
    const name = `until ${moment}`;
    await refused("/v1/keys", { body: { name, expires_at: moment } }, "/expires_at");
    await refused(`/v1/keys/${key.id}`, { method: "PATCH", body: { expires_at: moment } }, "/expires_at");
    const listed = await call("/v1/keys");
    expect(listed.status).toBe(200);
    expect(((await listed.json()) as { data: Key[] }).data).toEqual([key]);
  });

  it.each(moments)("%s filters nothing", async (moment) => {
    const at = encodeURIComponent(moment);
    for (const name of ["expires_before", "unused_since"]) await refused(`/v1/keys?${name}=${at}`, {}, `?${name}`);
    for (const name of ["from", "to"]) await refused(`/v1/keys/${key.id}/usage?${name}=${at}`, {}, `?${name}`);
  });

  it("is not the last one of the year 9999", async () => {
    const answer = await call(`/v1/keys/${key.id}`, { method: "PATCH", body: { expires_at: "9999-12-31T23:59:59Z" } });
    expect(answer.status).toBe(200);
    ({ key } = (await answer.json()) as { key: Key });
    expect(key.expires_at).toBe("9999-12-31T23:59:59.000Z");
  });
});

describe("half of a character", () => {
  it.each([
    ["/name", { name: "a\ud800" }],
    ["/models/0", { models: ["\udc00"] }],
    ["/tags/0", { tags: ["a\ud83d b"] }],
  ])("is refused in %s", async (pointer, fields) => {
    await refused("/v1/keys", { body: { name: "x", ...fields } }, pointer);
    await refused(`/v1/keys/${key.id}`, { method: "PATCH", body: fields }, pointer);
  });

  it("is refused in what is frozen and why, and in where a leak was seen", async () => {
    await refused("/v1/freeze", { body: { kind: "model", target: "m\ud800", reason: "r" } }, "/target");
    await refused("/v1/freeze", { body: { kind: "model", target: "m", reason: "\udfff" } }, "/reason");
    await refused("/v1/leaks/hashes", { body: { hashes: ["0".repeat(64)], url: "\ud800" } }, "/url");
  });

  it("is not both halves together", async () => {
    const body = { name: "😀", tags: ["\u{10ffff}", "é"], models: ["模型-😀"] };
    const answer = await call("/v1/keys", { body });
    expect(answer.status).toBe(201);
    expect(((await answer.json()) as CreatedKey).key).toMatchObject(body);
  });
});

it("a number that is too large to be read is not kept as null", async () => {
  const answer = await fetch(`${service.url}/v1/keys`, {
    method: "POST",
    // JSON.stringify cannot say it.
    body: '{"name":"x","metadata":{"a":[1e400]}}',
    headers: { "content-type": "application/json", authorization: `Bearer ${scene.issuer.token(admin, "pv-keys")}` },
  });
  expect(answer.status).toBe(422);
  expect(await answer.json()).toMatchObject({ errors: [{ pointer: "/metadata" }] });
});

function call(path: string, options?: Parameters<KeysScene["call"]>[2]): Promise<Response> {
  return scene.call(service.url + path, admin, options);
}

async function refused(path: string, options: Parameters<KeysScene["call"]>[2], pointer: string): Promise<void> {
  const answer = await call(path, options);
  expect(answer.status).toBe(422);
  expect(await answer.json()).toMatchObject({
    code: "invalid_request",
    errors: expect.arrayContaining([expect.objectContaining({ pointer })]),
  });
}
