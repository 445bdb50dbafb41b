/** Who of one organization may do what to whose keys. */
import { randomBytes } from "node:crypto";
import { loadConfig } from "@nexus/config";
import type { CreatedKey, Key } from "@nexus/contracts/keys";
import { uuidOf } from "@nexus/core";
import { createLogger } from "@nexus/telemetry";
import { type KeysScene, openKeysScene, type ScenePerson } from "@nexus/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";

type Role = "owner" | "admin" | "member";

let scene: KeysScene;
let service: RunningService;
/** Who owns the organization, two plain members of it, an administrator of it, and somebody whose token names it and who is no member. */
let owner: ScenePerson;
let member: ScenePerson;
let other: ScenePerson;
let organizationAdmin: ScenePerson;
let formerMember: ScenePerson;
let stranger: ScenePerson;
let installationAdmin: ScenePerson;

beforeAll(async () => {
  scene = await openKeysScene();
  [owner, stranger] = await Promise.all([scene.person(), scene.person()]);
  [member, other, organizationAdmin, formerMember] = await Promise.all([
    join("member"),
    join("member"),
    join("admin"),
    join(undefined),
  ]);
  installationAdmin = { ...(await scene.person(["admin"])), organizationId: owner.organizationId };
  const logger = createLogger({ service: "pv-keys", level: "error" });
  service = await startService(loadConfig(configSchema, scene.environment, configRules), { logger });
});
afterAll(async () => {
  await service.close();
  await scene.close();
});

async function join(role: Role | undefined): Promise<ScenePerson> {
  const person = { ...(await scene.person()), organizationId: owner.organizationId };
  if (role) await setRole(person, role);
  return person;
}

async function setRole(person: ScenePerson, role: Role): Promise<void> {
  const [user, organization] = [uuidOf("user", person.userId)!, uuidOf("organization", person.organizationId)!];
  await scene.owner.db
    .insertInto("members")
    .values({ organization_id: organization, user_id: user, role })
    .onConflict((conflict) => conflict.columns(["organization_id", "user_id"]).doUpdateSet({ role }))
    .execute();
}

async function make(by: ScenePerson, fields: object = {}): Promise<Key> {
  const answer = await scene.call(`${service.url}/v1/keys`, by, { body: { name: "k", ...fields } });
  expect(answer.status).toBe(201);
  return ((await answer.json()) as CreatedKey).key;
}

const changes: [string, { method?: string; path: string; body: object }][] = [
  ["update", { method: "PATCH", path: "", body: { name: "renamed" } }],
  ["rotate", { path: "/rotate", body: { overlap_seconds: 600 } }],
  ["disable", { path: "/disable", body: {} }],
  ["enable", { path: "/enable", body: {} }],
  ["revoke", { path: "/revoke", body: {} }],
];

/** What each change of the key is answered with, in the order above. */
async function attempt(by: ScenePerson, { id }: Key): Promise<number[]> {
  const statuses: number[] = [];
  for (const [, { method, path, body }] of changes) {
    const answer = await scene.call(`${service.url}/v1/keys/${id}${path}`, by, { method: method ?? "POST", body });
    statuses.push(answer.status);
  }
  return statuses;
}

async function read(by: ScenePerson, id: string): Promise<Key> {
  return ((await (await scene.call(`${service.url}/v1/keys/${id}`, by)).json()) as { key: Key }).key;
}

const all = (status: number): number[] => changes.map(() => status);

describe("a plain member", () => {
  it("changes their own keys", async () => {
    expect(await attempt(member, await make(member))).toEqual(all(200));
  });

  it.each<[string, () => Promise<Key>]>([
    ["a colleague's", () => make(other)],
    ["the owner's", () => make(owner)],
    ["the organization's", () => make(owner, { owner: { kind: "organization" } })],
    ["a service's", () => make(installationAdmin, { kind: "svc", scopes: ["keys:verify"] })],
  ])("reads %s key and changes nothing of it", async (_whose, made) => {
    const key = await made();
    expect(await attempt(member, key)).toEqual(all(403));
    expect(await read(member, key.id)).toEqual(key);
  });

  it("ends no others in bulk, neither by id nor by filter, and then none of their own", async () => {
    const [own, theirs] = [await make(member, { tags: ["bulk"] }), await make(other, { tags: ["bulk"] })];
    const revoke = (body: object) => scene.call(`${service.url}/v1/keys/bulk-revoke`, member, { body });
    for (const body of [{ ids: [own.id, theirs.id] }, { filter: { tag: "bulk" } }]) {
      expect((await revoke(body)).status).toBe(403);
    }
    for (const { id } of [own, theirs]) expect((await read(owner, id)).state).toBe("active");
    expect((await revoke({ filter: { tag: "bulk", owner: member.userId } })).status).toBe(200);
    expect((await read(owner, own.id)).state).toBe("revoked");
  });

  it("makes no root key, alone or among others, which would have a right over everybody's", async () => {
    const root = { name: "root", kind: "rk", scopes: ["keys:*"] };
    const before = await scene.owner.db.selectFrom("api_keys").select("id").execute();
    for (const [path, body] of [
      ["/v1/keys", root],
      ["/v1/keys/bulk-create", { keys: [{ name: "plain" }, root] }],
    ] as const) {
      expect((await scene.call(`${service.url}${path}`, member, { body })).status).toBe(403);
    }
    expect(await scene.owner.db.selectFrom("api_keys").select("id").execute()).toHaveLength(before.length);
  });

  it.each(["audit:read", "audit:*"])("lets no key read what everybody did, new, imported or old (%s)", async (scope) => {
    const format = { name: "old", prefix: "old_", min_length: 40, max_length: 64, alphabet: "hex" };
    await scene.call(`${service.url}/v1/key-formats`, installationAdmin, { body: format });
    const auditor = { name: "auditor", scopes: ["ai:chat", scope] };
    const imported = { ...auditor, format: "old", prefix: "old_1", sha256: randomBytes(32).toString("hex") };
    const { id } = await make(member);
    for (const [method, path, body] of [
      ["POST", "/v1/keys", auditor],
      ["POST", "/v1/keys/bulk-create", { keys: [{ name: "plain" }, auditor] }],
      ["POST", "/v1/keys/import", { keys: [imported] }],
      ["PATCH", `/v1/keys/${id}`, { scopes: auditor.scopes }],
    ] as const) {
      expect((await scene.call(service.url + path, member, { method, body })).status).toBe(403);
    }
    expect((await read(member, id)).scopes).toEqual(["ai:*", "usage:read"]);
    expect(await make(owner, auditor)).toMatchObject({ scopes: auditor.scopes });
  });
});

it.each([
  ["an owner", () => owner],
  ["an administrator of the organization", () => organizationAdmin],
])("%s changes everybody's keys and makes root keys", async (_who, by) => {
  expect(await attempt(by(), await make(member))).toEqual(all(200));
  expect(await attempt(by(), await make(member, { owner: { kind: "organization" } }))).toEqual(all(200));
  expect(await make(by(), { kind: "rk", scopes: ["keys:*"] })).toMatchObject({ kind: "rk" });
});

it("of a service key an owner may disable and revoke, and the rest is the installation's administrators'", async () => {
  const key = await make(installationAdmin, { kind: "svc", scopes: ["keys:verify"] });
  expect(await attempt(owner, key)).toEqual([403, 403, 200, 403, 200]);
});

it("a root key of theirs goes on managing everybody's plain keys", async () => {
  const answer = await scene.call(`${service.url}/v1/keys`, owner, { body: { name: "root", kind: "rk", scopes: ["keys:*"] } });
  const { secret } = (await answer.json()) as CreatedKey;
  const { id } = await make(member);
  expect((await scene.call(`${service.url}/v1/keys/${id}/revoke`, secret, { method: "POST" })).status).toBe(200);
});

it("a role counts as it is at this moment, and who is no member has none", async () => {
  const key = await make(other);
  expect(await attempt(formerMember, key)).toEqual(all(403));
  const promoted = await join("member");
  const disable = () => scene.call(`${service.url}/v1/keys/${key.id}/disable`, promoted, { method: "POST" });
  expect((await disable()).status).toBe(403);
  await setRole(promoted, "admin");
  expect((await disable()).status).toBe(200);
  await setRole(promoted, "member");
  expect((await disable()).status).toBe(403);
});

it("another organization's key is not there, for its owners as for anybody", async () => {
  expect(await attempt(stranger, await make(member))).toEqual(all(404));
});
