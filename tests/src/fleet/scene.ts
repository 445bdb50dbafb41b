/** What a fleet stands on: a database with a person in it, a Redis, a provider, secrets, and the environment of its services. */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { uuidOf } from "@nexus/core";
import {
  createTestDatabase,
  type FakeIssuer,
  type FakeUpstream,
  startFakeIssuer,
  startFakeUpstream,
  type TestDatabase,
} from "@nexus/testing";
import { type RedisProcess, startRedisProcess } from "./redis-process.ts";
import { startWires, type Wires } from "./wires.ts";

type Person = ReturnType<FakeIssuer["person"]>;

/** Where somebody listens. */
interface Port {
  readonly port: number;
}

export interface Scene {
  directory: string;
  database: TestDatabase;
  redis: RedisProcess;
  wires: Wires;
  upstream: FakeUpstream;
  issuer: FakeIssuer;
  /** An administrator with an organization of their own. */
  person: Person;
  /** What the gateways show on the private listeners of pv-keys. */
  serviceToken: string;
  pepper: string;
  /** The environment of a service that reaches its servers through these wires. */
  environment(role: "keys" | "ai", wires: { postgres: Port; redis: Port }): Record<string, string>;
  /** Path of the gateways' settings: a free model, `chat`, and one that costs money, `priced`, at the fake provider. */
  gatewaySettings: string;
  /** Where the gateway of that name keeps its usage journal. */
  spoolOf(name: string): string;
  close(): Promise<void>;
}

export async function openScene(options: { blindSeconds: number; sharesSpool?: boolean }): Promise<Scene> {
  const directory = mkdtempSync(join(tmpdir(), "nexus-fleet-"));
  const [database, redis, upstream, issuer] = await Promise.all([
    createTestDatabase(),
    startRedisProcess(directory),
    startFakeUpstream(),
    startFakeIssuer(),
  ]);
  const wires = startWires();
  const person = issuer.person(["user", "admin"]);
  await insertPerson(database, person);
  const [serviceToken, pepper, auditKey] = [secret(), secret(), secret()];
  writeFileSync(join(directory, "token"), serviceToken);
  const gatewaySettings = join(directory, "gateway.yaml");
  writeFileSync(gatewaySettings, settingsFor(upstream.baseUrl));
  return {
    directory,
    database,
    redis,
    wires,
    upstream,
    issuer,
    person,
    serviceToken,
    pepper,
    gatewaySettings,
    spoolOf: (name) => join(directory, options.sharesSpool ? "gateways" : name, "spool"),
    environment: (role, { postgres, redis: toRedis }) => ({
      DB_HOST: "127.0.0.1",
      DB_PORT: String(postgres.port),
      DB_NAME: database[role].database,
      DB_USER: database[role].user,
      DB_PASSWORD: database[role].password,
      REDIS_URL: redis.urlThrough(toRedis.port),
      NEXUS_AUDIT_KEY: auditKey,
      NEXUS_KEY_PEPPERS: `1:${pepper}`,
      NEXUS_SERVICE_TOKEN_FILE: join(directory, "token"),
      NEXUS_CALLER_TOKEN_FILES: `puaboai-sdk=${join(directory, "token")}`,
      NEXUS_PUBLIC_URL: issuer.url,
      PUABO_API_URL: issuer.url,
      NEXUS_LOG_LEVEL: "warn",
      NEXUS_STOP_SECONDS: "2",
      KEY_CHECK_BLIND_SECONDS: String(options.blindSeconds),
    }),
    close: async () => {
      await Promise.all([upstream.close(), issuer.close(), redis.stop(), wires.stop(), database.drop()]);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A folder of one process's own. */
export function folderOf(scene: Scene, name: string): string {
  const folder = join(scene.directory, name);
  mkdirSync(folder);
  return folder;
}

function settingsFor(upstreamUrl: string): string {
  return `
providers: { fake: { base_url: "${upstreamUrl}", allow_private_network: true } }
models:
  - { id: chat, provider: fake, kind: chat, context_tokens: 8000, max_output_tokens: 1000, price: free }
  - id: priced
    provider: fake
    kind: chat
    context_tokens: 8000
    max_output_tokens: 1000
    price: { unit: usd_per_million_tokens, input: "1", output: "10", source: test, effective: 2026-01-01 }
`;
}

async function insertPerson(database: TestDatabase, person: Person): Promise<void> {
  const { db } = database.openOwner();
  const [id, organization] = [uuidOf("user", person.userId)!, uuidOf("organization", person.organizationId)!];
  await db.insertInto("organizations").values({ id: organization, name: "fleet", personal: true }).execute();
  await db.insertInto("users").values({ id, email: "fleet@example.test", name: "Fleet" }).execute();
}

function secret(): string {
  return randomBytes(32).toString("base64url");
}
