/** What a service needs to be measured: PostgreSQL, its roles and tables, a person, tokens and secrets. */
import { randomBytes } from "node:crypto";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { uuidOf } from "@nexus/core";
import { type Connection, ensureRoles, migrate, openDatabase, type ServiceRole, startEmbeddedPostgres } from "@nexus/db";
import { freePort, startFakeIssuer } from "@nexus/testing";
import { startService } from "./start-child.ts";

type Stop = () => Promise<void>;

export interface KeysReplica {
  pid: number;
  url: string;
  internalUrl: string;
  stop(): Promise<void>;
}

interface IssuedKey {
  id: string;
  secret: string;
}

export interface Platform {
  directory: string;
  /** Environment of a service that logs in with this role. */
  environment(role: ServiceRole): Record<string, string>;
  /** Logs in with this role. */
  connection(role: ServiceRole): Connection;
  serviceToken: string;
  /** pv-keys, running. */
  keys: KeysReplica;
  /** One more of it, with more of an environment. */
  startKeysReplica(more: Record<string, string>): Promise<KeysReplica>;
  /** What the one person there is shows a service, pv-keys unless told; good for five minutes. */
  token(audience?: string): string;
  /** Of that person. */
  organizationId: string;
  /** A fresh key of that person. */
  makeKey(): Promise<string>;
  /** The same with its id. */
  issueKey(): Promise<IssuedKey>;
  /** The owner of the schema. */
  owner: Connection;
  /** Ends PostgreSQL as its operator would (SIGINT); it is started again by itself. */
  restartPostgres(): void;
  /** Runs before everything that was started earlier is stopped. */
  onStop(stop: Stop): void;
  stop(): Promise<void>;
}

export async function startPlatform(): Promise<Platform> {
  const stops: Stop[] = [];
  const stop = async (): Promise<void> => {
    for (const one of stops.splice(0).toReversed()) await one();
  };
  try {
    return { ...(await startAll(stops)), onStop: (one) => void stops.push(one), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startAll(stops: Stop[]): Promise<Omit<Platform, "onStop" | "stop">> {
  const directory = await mkdtemp(join(tmpdir(), "nexus-bench-"));
  stops.push(() => rm(directory, { recursive: true, force: true }));
  // As root, PostgreSQL runs as another user, who must be able to enter.
  await chmod(directory, 0o755);
  const postgres = await startEmbeddedPostgres({ dataDirectory: join(directory, "postgres"), path: process.env["PATH"] ?? "" });
  stops.push(() => postgres.stop());
  const passwords = { nexus_api: random(), nexus_ai: random(), nexus_keys: random() };
  await ensureRoles(postgres.connection, passwords);
  await migrate(postgres.connection);
  const issuer = await startFakeIssuer();
  stops.push(() => issuer.close());
  const person = issuer.person(["user", "admin"]);
  const owner = openDatabase(postgres.connection, { applicationName: "bench" });
  const organization = uuidOf("organization", person.organizationId) ?? "";
  await owner.db.insertInto("organizations").values({ id: organization, name: "bench", personal: true }).execute();
  const user = { id: uuidOf("user", person.userId) ?? "", email: "bench@example.test", name: "Bench" };
  await owner.db.insertInto("users").values(user).execute();
  await owner.close();

  const [serviceToken, auditKey, peppers] = [random(), random(), `1:${random()}`];
  await mkdir(join(directory, "secrets"));
  await writeFile(join(directory, "secrets", "token"), serviceToken);
  const environment = (role: ServiceRole): Record<string, string> => ({
    DB_HOST: postgres.connection.host,
    DB_PORT: String(postgres.port),
    DB_NAME: postgres.connection.database,
    DB_USER: role,
    DB_PASSWORD: passwords[role],
    NEXUS_AUDIT_KEY: auditKey,
    NEXUS_KEY_PEPPERS: peppers,
    NEXUS_SERVICE_TOKEN_FILE: join(directory, "secrets", "token"),
    NEXUS_CALLER_TOKEN_FILES: `puaboai-sdk=${join(directory, "secrets", "token")}`,
    NEXUS_PUBLIC_URL: issuer.url,
    PUABO_API_URL: issuer.url,
    NEXUS_LOG_LEVEL: "warn",
  });
  const startKeysReplica = (more: Record<string, string> = {}): Promise<KeysReplica> =>
    startKeys({ ...environment("nexus_keys"), ...more }, stops);
  const keys = await startKeysReplica();
  const token = (audience = "pv-keys"): string => issuer.token(person, audience);
  const issueKey = (): Promise<IssuedKey> => issueKeyAt(keys.url, token());
  const connection = (role: ServiceRole): Connection => ({ ...postgres.connection, user: role, password: passwords[role] });
  return {
    directory,
    environment,
    connection,
    serviceToken,
    keys,
    startKeysReplica,
    token,
    organizationId: person.organizationId,
    makeKey: async () => (await issueKey()).secret,
    issueKey,
    owner: postgres.connection,
    restartPostgres: () => void process.kill(postgres.pid, "SIGINT"),
  };
}

async function issueKeyAt(url: string, token: string): Promise<IssuedKey> {
  const answer = await fetch(`${url}/v1/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "bench" }),
  });
  if (answer.status !== 201) throw new Error(`no key was made: ${answer.status} ${await answer.text()}`);
  const made = (await answer.json()) as { secret: string; key: { id: string } };
  return { id: made.key.id, secret: made.secret };
}

async function startKeys(environment: Record<string, string>, stops: Stop[]): Promise<KeysReplica> {
  const [port, internalPort] = [await freePort(), await freePort()];
  const child = await startService("pv-keys", port, {
    ...environment,
    NEXUS_PV_KEYS_INTERNAL_PORT: String(internalPort),
  });
  stops.push(() => child.stop());
  const [url, internalUrl] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${internalPort}`];
  return { pid: child.pid, url, internalUrl, stop: () => child.stop() };
}

function random(): string {
  return randomBytes(32).toString("base64url");
}
