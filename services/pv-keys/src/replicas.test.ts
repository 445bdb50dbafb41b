/** Two processes of pv-keys on one database, and a verifier beside them: what holds when one is killed or paused. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CreatedKey } from "@nexus/contracts/keys";
import { generateApiKey, Problem, systemClock, uuidOf } from "@nexus/core";
import { type KeyChecker, openKeyChecker } from "@nexus/key-check";
import { createTestDatabase, type FakeIssuer, freePort, startFakeIssuer, type TestDatabase, waitFor } from "@nexus/testing";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";

interface Replica {
  process: ChildProcess;
  url: string;
  internalUrl: string;
  port: number;
  internalPort: number;
  output(): string;
}

/** What the design promises from the answer to a revocation on. */
const boundMs = 2000;
const main = new URL("main.ts", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "pv-keys-"));
const serviceToken = randomBytes(32).toString("base64url");
const replicas: Replica[] = [];
const checkers: KeyChecker[] = [];
let database: TestDatabase;
let issuer: FakeIssuer;
let person: ReturnType<FakeIssuer["person"]>;
let env: Record<string, string>;
let one: Replica;
let two: Replica;

beforeAll(async () => {
  [database, issuer] = await Promise.all([createTestDatabase(), startFakeIssuer()]);
  person = issuer.person();
  const [user, organization] = [uuidOf("user", person.userId)!, uuidOf("organization", person.organizationId)!];
  const { db } = database.openOwner();
  await db.insertInto("organizations").values({ id: organization, name: "test", personal: true }).execute();
  await db.insertInto("users").values({ id: user, email: "a@example.test", name: "Test" }).execute();
  writeFileSync(join(folder, "token"), serviceToken);
  env = {
    PATH: process.env["PATH"] ?? "",
    DB_HOST: database.keys.host,
    DB_PORT: String(database.keys.port),
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
  [one, two] = await Promise.all([startReplica(), startReplica()]);
});
afterEach(async () => {
  await Promise.all(checkers.splice(0).map((checker) => checker.close()));
});
afterAll(async () => {
  for (const replica of replicas) await end(replica, "SIGKILL");
  await issuer.close();
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

it("a key made at one replica is good at the other, and revoked at one it is refused by the other at once", async () => {
  const { key, secret } = await make(one);
  expect(await verify(two, secret)).toMatchObject({ valid: true, key_id: key.id });
  await revoke(one, key.id);
  expect(await verify(two, secret)).toEqual({ valid: false, code: "revoked" });
});

it("a verifier in constant use refuses a key within two seconds of its revocation at another replica", async () => {
  const checker = checkerOf(two);
  const took: number[] = [];
  for (let i = 0; i < 4; i++) {
    const { key, secret } = await make(one);
    expect(await checker.check(secret)).toMatchObject({ valid: true });
    // The worst moment is right after an answer; the four are spread over the second that an answer holds.
    const start = performance.now();
    await waitFor(() => performance.now() - start > i * 250);
    await checker.check(secret);
    await revoke(one, key.id);
    const revokedAt = performance.now();
    await waitFor(async () => !(await checker.check(secret)).valid, { timeoutMs: 5000, intervalMs: 1 });
    took.push(performance.now() - revokedAt);
  }
  expect(Math.max(...took)).toBeLessThan(boundMs);
});

it("with its replica killed, a verifier goes on with known keys, answers 503 for others, and believes the next start", async () => {
  const checker = checkerOf(two);
  const [kept, revoked] = [await make(one), await make(one)];
  await Promise.all([checker.check(kept.secret), checker.check(revoked.secret)]);
  await end(two, "SIGKILL");
  await revoke(one, revoked.key.id);
  await staleFor(checker, kept.secret, 1200);
  expect(await checker.check(kept.secret)).toMatchObject({ valid: true });
  expect(await unavailable(checker, generateApiKey("sk", "live").key)).toBe(true);
  two = await startReplica(two);
  const backAt = performance.now();
  await waitFor(async () => !(await checker.check(revoked.secret)).valid, { timeoutMs: 5000 });
  expect(performance.now() - backAt).toBeLessThan(boundMs);
  expect(await checker.check(kept.secret)).toMatchObject({ valid: true });
});

it("with its replica paused, known keys cost no wait, and what was revoked meanwhile is refused when it runs again", async () => {
  const checker = checkerOf(two);
  const [kept, revoked] = [await make(one), await make(one)];
  await Promise.all([checker.check(kept.secret), checker.check(revoked.secret)]);
  two.process.kill("SIGSTOP");
  try {
    await revoke(one, revoked.key.id);
    await staleFor(checker, kept.secret, 2500);
    const before = performance.now();
    for (let i = 0; i < 20; i++) expect(await checker.check(kept.secret)).toMatchObject({ valid: true });
    expect(performance.now() - before).toBeLessThan(500);
    expect(await unavailable(checker, generateApiKey("sk", "live").key)).toBe(true);
  } finally {
    two.process.kill("SIGCONT");
  }
  const runsAt = performance.now();
  await waitFor(async () => !(await checker.check(revoked.secret)).valid, { timeoutMs: 5000 });
  expect(performance.now() - runsAt).toBeLessThan(boundMs);
});

it("SIGTERM ends a replica with exit code 0", async () => {
  const third = await startReplica();
  await end(third, "SIGTERM");
  expect(third.process.exitCode).toBe(0);
});

it("nothing that a replica printed holds a key, a pepper or a token", async () => {
  const { secret } = await make(one);
  await verify(one, secret);
  const hidden = [secret.slice(21), env["NEXUS_KEY_PEPPERS"]!.slice(2), serviceToken, env["DB_PASSWORD"]!];
  await waitFor(() => one.output().includes("/v1/keys/verify"));
  for (const replica of replicas) for (const text of hidden) expect(replica.output()).not.toContain(text);
});

/** With `like`, on the same ports. */
async function startReplica(like?: Replica): Promise<Replica> {
  const port = like?.port ?? (await freePort());
  const internalPort = like?.internalPort ?? (await freePort());
  const child = spawn(process.execPath, [main], {
    env: { ...env, PORT: String(port), NEXUS_PV_KEYS_INTERNAL_PORT: String(internalPort), NEXUS_LOG_LEVEL: "debug" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  const replica: Replica = {
    process: child,
    url: `http://127.0.0.1:${port}`,
    internalUrl: `http://127.0.0.1:${internalPort}`,
    port,
    internalPort,
    output: () => Buffer.concat(chunks).toString(),
  };
  replicas.push(replica);
  await waitFor(
    async () => {
      if (child.exitCode !== null) throw new Error(replica.output());
      return (await fetch(`${replica.url}/readyz`)).status === 200;
    },
    { timeoutMs: 20_000, what: "a replica" },
  );
  return replica;
}

async function end(replica: Replica, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
  const { process: child } = replica;
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill(signal);
  await exited;
}

function checkerOf(replica: Replica): KeyChecker {
  const checker = openKeyChecker({ verifyUrl: replica.internalUrl, serviceToken, clock: systemClock });
  checkers.push(checker);
  return checker;
}

/** Uses the key until what is known of it is surely too old to be taken without asking; it must stay good all the while. */
async function staleFor(checker: KeyChecker, secret: string, ms: number): Promise<void> {
  const start = performance.now();
  await waitFor(async () => {
    expect(await checker.check(secret)).toMatchObject({ valid: true });
    return performance.now() - start > ms;
  });
}

async function unavailable(checker: KeyChecker, secret: string): Promise<boolean> {
  return await checker.check(secret).then(
    () => false,
    (error: unknown) => error instanceof Problem && error.code === "unavailable",
  );
}

async function make(replica: Replica): Promise<CreatedKey> {
  const answer = await send(`${replica.url}/v1/keys`, issuer.token(person, "pv-keys"), { name: "replicas" });
  expect(answer.status).toBe(201);
  return (await answer.json()) as CreatedKey;
}

async function revoke(replica: Replica, id: string): Promise<void> {
  const answer = await send(`${replica.url}/v1/keys/${id}/revoke`, issuer.token(person, "pv-keys"), {});
  expect(answer.status).toBe(200);
}

async function verify(replica: Replica, key: string): Promise<unknown> {
  return await (await send(`${replica.internalUrl}/v1/keys/verify`, serviceToken, { key })).json();
}

function send(url: string, token: string, body: unknown): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}
