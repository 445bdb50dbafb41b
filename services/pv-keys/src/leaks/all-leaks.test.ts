import { hash } from "node:crypto";
import { loadConfig } from "@nexus/config";
import type { CreatedKey } from "@nexus/contracts/keys";
import type { Leak } from "@nexus/contracts/leaks";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, type KeysScene, openKeysScene, type ScenePerson } from "@nexus/testing";
import { afterAll, beforeAll, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";

let scene: KeysScene;
let service: RunningService;
let admin: ScenePerson;
let people: ScenePerson[];
const made: CreatedKey[] = [];

beforeAll(async () => {
  scene = await openKeysScene();
  admin = await scene.person(["admin"]);
  people = await Promise.all([scene.person(), scene.person(), scene.person()]);
  const logger = createLogger({ service: "pv-keys", level: "warn", destination: captureLogs().stream });
  service = await startService(loadConfig(configSchema, scene.environment, configRules), { logger });
  for (const by of people) {
    const answer = await scene.call(`${service.url}/v1/keys`, by, { body: { name: "k" } });
    made.push((await answer.json()) as CreatedKey);
  }
  const hashes = made.map(({ secret }) => hash("sha256", secret));
  await scene.call(`${service.url}/v1/leaks/hashes`, admin, { body: { hashes } });
});
afterAll(async () => {
  await service.close();
  await scene.close();
});

const ids = (leaks: Leak[]): string[] => leaks.map(({ key_id }) => key_id).toSorted();

async function list(by: ScenePerson, query: string): Promise<{ data: Leak[]; next_cursor: string | null }> {
  const answer = await scene.call(`${service.url}/v1/leaks${query}`, by);
  expect(answer.status).toBe(200);
  return (await answer.json()) as { data: Leak[]; next_cursor: string | null };
}

it("shows an administrator the leaks of every organization, page by page, when asked to", async () => {
  const seen: Leak[] = [];
  let cursor: string | null = "";
  while (cursor !== null) {
    const page = await list(admin, `?all=true&limit=1${cursor && `&cursor=${cursor}`}`);
    expect(page.data).toHaveLength(1);
    seen.push(...page.data);
    cursor = page.next_cursor;
  }
  expect(ids(seen)).toEqual(made.map(({ key }) => key.id).toSorted());
  expect(new Set(seen.map(({ organization_id }) => organization_id)).size).toBe(people.length);
  expect((await list(admin, "")).data).toEqual([]);
});

it("shows nobody else more than their own organization's", async () => {
  const [person] = people;
  for (const query of ["", "?all=false"]) expect(ids((await list(person!, query)).data)).toEqual([made[0]!.key.id]);
  expect((await scene.call(`${service.url}/v1/leaks?all=true`, person!)).status).toBe(403);
  const root = await scene.call(`${service.url}/v1/keys`, admin, { body: { name: "r", kind: "rk", scopes: ["keys:*"] } });
  const { secret } = (await root.json()) as CreatedKey;
  // A root key that an administrator made is no administrator.
  expect((await scene.call(`${service.url}/v1/leaks?all=true`, secret)).status).toBe(403);
});
