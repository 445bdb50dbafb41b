/** A revoked key never becomes active again, by whatever route there is or will be. */
import { loadConfig } from "@nexus/config";
import type { CreatedKey, Key } from "@nexus/contracts/keys";
import { uuidOf } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import { type KeysScene, openKeysScene, type ScenePerson } from "@nexus/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";

interface Described {
  paths: Record<string, Record<string, unknown>>;
}

let scene: KeysScene;
let service: RunningService;
let admin: ScenePerson;

beforeAll(async () => {
  scene = await openKeysScene();
  admin = await scene.person(["admin"]);
  const logger = createLogger({ service: "pv-keys", level: "error" });
  service = await startService(loadConfig(configSchema, scene.environment, configRules), { logger });
});
afterAll(async () => {
  await service.close();
  await scene.close();
});

/** What a route might take for a way back. */
const bodies: unknown[] = [
  {},
  { state: "active" },
  { revoked_at: null },
  { name: "back" },
  { expires_at: null },
  { overlap_seconds: 0 },
  { overlap_seconds: 2_592_000, deliver: "link" },
  { if_rev: 0 },
];

it("no described route of a key revives it, with a person's token or a root key", async () => {
  const { key, secret } = await make({ name: "dead" });
  const { secret: root } = await make({ name: "root", kind: "rk", scopes: ["keys:*"] });
  await scene.call(`${service.url}/v1/keys/${key.id}/revoke`, admin, { body: {} });
  const { paths } = (await (await fetch(`${service.url}/openapi.json`)).json()) as Described;
  const routes = Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => ({ path, method })));
  const ofOneKey = routes.filter(({ path, method }) => path.startsWith("/v1/keys/{") && method !== "get");
  expect(ofOneKey.length).toBeGreaterThanOrEqual(5);
  for (const { path, method } of ofOneKey) {
    const url = service.url + path.replace(/\{\w+\}/, key.id);
    for (const by of [admin, root]) {
      for (const body of bodies) {
        const answer = await scene.call(url, by, { method: method.toUpperCase(), body });
        expect(answer.status).toBeLessThan(500);
        expect(await stateOf(key.id)).toBe("revoked");
      }
    }
  }
  const check = await scene.call(`${service.internalUrl}/v1/keys/verify`, scene.serviceToken, { body: { key: secret } });
  expect(await check.json()).toEqual({ valid: false, code: "revoked" });
});

it("no statement revives it either, not even the schema owner's", async () => {
  const { key } = await make({ name: "dead" });
  await scene.call(`${service.url}/v1/keys/${key.id}/revoke`, admin, { body: {} });
  const update = scene.owner.db.updateTable("api_keys").where("id", "=", uuidOf("key", key.id)!);
  for (const state of ["active", "disabled"] as const)
    await expect(update.set({ state, revoked_at: null }).execute()).rejects.toThrow("is revoked, which is for ever");
  await expect(update.set({ revoked_at: new Date(0) }).execute()).rejects.toThrow("is revoked, which is for ever");
  await update.set({ updated_at: new Date() }).execute();
  expect(await stateOf(key.id)).toBe("revoked");
});

async function make(body: unknown): Promise<CreatedKey> {
  const answer = await scene.call(`${service.url}/v1/keys`, admin, { body });
  expect(answer.status).toBe(201);
  return (await answer.json()) as CreatedKey;
}

async function stateOf(id: string): Promise<string> {
  return ((await (await scene.call(`${service.url}/v1/keys/${id}`, admin)).json()) as { key: Key }).key.state;
}
