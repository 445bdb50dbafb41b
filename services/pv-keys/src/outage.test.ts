/** PostgreSQL goes away under a running pv-keys, by being cut off and by falling silent, and comes back. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "@nexus/config";
import type { CreatedKey } from "@nexus/contracts/keys";
import { generateApiKey, uuidOf } from "@nexus/core";
import type { Database } from "@nexus/db";
import { createLogger } from "@nexus/telemetry";
import { createTestDatabase, type FakeIssuer, startFakeIssuer, type TestDatabase, waitFor } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "./service.ts";

const folder = mkdtempSync(join(tmpdir(), "pv-keys-"));
const token = randomBytes(32).toString("base64url");
let database: TestDatabase;
let owner: Database;
let relay: Relay;
let issuer: FakeIssuer;
let person: ReturnType<FakeIssuer["person"]>;
let service: RunningService;

beforeAll(async () => {
  [database, issuer] = await Promise.all([createTestDatabase(), startFakeIssuer()]);
  relay = await startRelay(database.keys.port);
  person = issuer.person();
  owner = database.openOwner();
  const { db } = owner;
  const organization = uuidOf("organization", person.organizationId)!;
  await db.insertInto("organizations").values({ id: organization, name: "test", personal: true }).execute();
  await db
    .insertInto("users")
    .values({ id: uuidOf("user", person.userId)!, email: "a@example.test", name: "Test" })
    .execute();
  writeFileSync(join(folder, "token"), token);
  const env = {
    PORT: "0",
    DB_HOST: "127.0.0.1",
    DB_PORT: String(relay.port),
    DB_NAME: database.keys.database,
    DB_USER: database.keys.user,
    DB_PASSWORD: database.keys.password,
    NEXUS_AUDIT_KEY: randomBytes(32).toString("base64url"),
    NEXUS_KEY_PEPPERS: `1:${randomBytes(32).toString("base64url")}`,
    NEXUS_SERVICE_TOKEN_FILE: join(folder, "token"),
    NEXUS_CALLER_TOKEN_FILES: `puaboai-sdk=${join(folder, "token")}`,
    NEXUS_PUBLIC_URL: issuer.url,
    PUABO_API_URL: issuer.url,
  };
  // It starts while PostgreSQL is away: the peppers are compared when it is there.
  relay.state = "refuses";
  const logger = createLogger({ service: "pv-keys", level: "silent" });
  service = await startService(loadConfig(configSchema, env, configRules), { logger });
});
afterAll(async () => {
  relay.state = "refuses";
  await service.close();
  await Promise.all([relay.close(), issuer.close()]);
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

it("started without PostgreSQL, it serves as soon as that is there", async () => {
  expect((await fetch(`${service.url}/readyz`)).status).toBe(503);
  expect((await create("early")).status).toBe(503);
  relay.state = "works";
  await waitFor(async () => (await fetch(`${service.url}/readyz`)).status === 200);
  expect((await create("on time")).status).toBe(201);
});

it.each(["refuses", "hangs"] as const)(
  "PostgreSQL %s: known keys go on, others are answered with 503, nothing half-made stays, and all is well when it is back",
  async (state) => {
    const { key, secret } = (await (await create("good")).json()) as CreatedKey;
    await waitFor(followsTheFeed);
    expect(await (await verify(secret)).json()).toMatchObject({ valid: true });
    relay.state = state;
    const [unknown, made, revoked, bearer] = await Promise.all([
      verify(generateApiKey("sk", "live").key),
      create(`made while it ${state}`),
      send(`${service.url}/v1/keys/${key.id}/revoke`, personToken(), {}),
      send(`${service.url}/v1/keys/verify`, generateApiKey("svc", "live").key, { key: secret }),
    ]);
    for (const answer of [unknown, made, revoked, bearer]) {
      expect(answer.status).toBe(503);
      expect(answer.headers.get("retry-after")).toMatch(/^[12]$/);
      expect(answer.headers.get("www-authenticate")).toBeNull();
    }
    expect(await (await verify(secret)).json()).toMatchObject({ valid: true });
    expect(await (await verify("pv_sk_live_mistyped")).json()).toEqual({ valid: false, code: "not_found" });
    await waitFor(async () => (await fetch(`${service.url}/health`)).status === 503);
    expect((await fetch(`${service.url}/livez`)).status).toBe(200);

    relay.state = "works";
    await waitFor(async () => (await fetch(`${service.url}/health`)).status === 200);
    await waitFor(async () => (await verify(secret)).status === 200);
    expect(await (await verify(secret)).json()).toMatchObject({ valid: true });
    const half = await owner.db.selectFrom("api_keys").select("id").where("name", "=", `made while it ${state}`).execute();
    expect(half).toEqual([]);
  },
);

/** What is known of keys is only kept by a process that would hear of their end. */
async function followsTheFeed(): Promise<boolean> {
  const { rows } = await sql<{ follows: boolean }>`
    SELECT EXISTS (SELECT FROM verifier_leases, change_counter
      WHERE applied_rev = rev AND renewed_at > clock_timestamp() - interval '1.2 s') AS follows`.execute(owner.db);
  return rows[0]!.follows;
}

function create(name: string): Promise<Response> {
  return send(`${service.url}/v1/keys`, personToken(), { name });
}

function verify(key: string): Promise<Response> {
  return send(`${service.internalUrl}/v1/keys/verify`, token, { key });
}

function personToken(): string {
  return issuer.token(person, "pv-keys");
}

function send(url: string, bearer: string, body: unknown): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

interface Relay {
  readonly port: number;
  state: "works" | "refuses" | "hangs";
  close(): Promise<void>;
}

/** Between pv-keys and PostgreSQL: passes bytes on, cuts, or holds everything it is given. */
async function startRelay(to: number): Promise<Relay> {
  let state: Relay["state"] = "works";
  const sockets = new Set<Socket>();
  const server: Server = createServer((near) => {
    if (state === "refuses") return void near.destroy();
    const far = connect(to, "127.0.0.1");
    for (const [from, into] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on("data", (chunk) => state === "works" && into.write(chunk));
      from.on("error", () => into.destroy());
      from.on("close", () => {
        sockets.delete(from);
        into.destroy();
      });
    }
    return undefined;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    get state() {
      return state;
    },
    set state(next) {
      // Bytes that were held back are lost: whoever waited for them is cut off.
      if (next === "refuses" || state === "hangs") cut();
      state = next;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        cut();
      }),
  };
}
