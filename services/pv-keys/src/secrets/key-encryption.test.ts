/** Key-encryption keys that are wrong, missing or away: from the configuration, and a KMS in a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { ConfigError, loadConfig } from "@nexus/config";
import type { ReadSecretAnswer, Secret } from "@nexus/contracts/secrets";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, type KeysScene, openKeysScene, type ScenePerson } from "@nexus/testing";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { configRules, configSchema, type RunningService, startService } from "../service.ts";
import { keyEncryptionField } from "./held-keys.ts";
import { CannotOpen, type KeyEncryption, type KeyEncryptionKey } from "./key-encryption.ts";

const logs = captureLogs();
const first = randomBytes(32).toString("base64url");
let scene: KeysScene;
let admin: ScenePerson;

beforeAll(async () => {
  scene = await openKeysScene();
  admin = await scene.person(["admin"]);
});
afterAll(() => scene.close());

describe("the field", () => {
  it.each([
    ["", "at least one version:secret"],
    ["one", "version:secret"],
    ["0:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "version:secret"],
    ["1:short", "at least 32"],
    [`1:${first}\n1:${first}x`, "a version twice"],
    [`1:${first}\n2:${first}`, "under two versions"],
  ])("%j is refused", (text, detail) => {
    expect(() => keyEncryptionField.parse(text)).toThrow(detail);
  });

  it("the highest version wraps, whatever the order, and each opens its own", async () => {
    const other = randomBytes(32).toString("base64url");
    const encryption = keyEncryptionField.parse(`\n 9:${first} 10:${other} \n`);
    expect(encryption?.current.name).toBe("file:10");
    expect(encryption?.keys.map(({ name }) => name)).toEqual(["file:10", "file:9"]);
    const [ten, nine] = encryption!.keys as [KeyEncryptionKey, KeyEncryptionKey];
    const [dataKey, bound] = [randomBytes(32), Buffer.from("place")];
    const wrapped = await ten.wrap(dataKey, bound);
    expect((await ten.unwrap(wrapped, bound)).equals(dataKey)).toBe(true);
    await expect(nine.unwrap(wrapped, bound)).rejects.toThrow(CannotOpen);
    await expect(ten.unwrap(wrapped, Buffer.from("another"))).rejects.toThrow(CannotOpen);
    await expect(ten.unwrap(wrapped.subarray(0, 20), bound)).rejects.toThrow(CannotOpen);
  });
});

describe("a start", () => {
  it("without a key serves everything but secrets, as long as none is stored", async () => {
    const service = await start(undefined);
    expect((await create(service, "early")).status).toBe(503);
    expect((await fetch(`${service.url}/readyz`)).status).toBe(200);
    await service.close();
  });

  it("with a wrong or missing key stops, names the fingerprints and touches nothing", async () => {
    const service = await start(`1:${first}`);
    expect((await create(service, "kept")).status).toBe(201);
    await service.close();
    const before = await everything();
    const used = keyEncryptionField.parse(`1:${first}`)!.current.fingerprint;
    const wrong = randomBytes(32).toString("base64url");
    for (const [keys, held] of [
      [`1:${wrong}`, "(file:1)"],
      [`2:${wrong}`, "(file:2)"],
      [undefined, "it holds none"],
    ] as const) {
      const fault = await start(keys).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(fault).toBeInstanceOf(ConfigError);
      const { message } = fault as ConfigError;
      expect(message).toContain(`${used} (file:1)`);
      expect(message).toContain(held);
      if (keys) expect(message).toContain(keyEncryptionField.parse(keys)!.current.fingerprint);
      for (const secret of [first, wrong]) expect(message).not.toContain(secret);
      expect(await everything()).toEqual(before);
    }
  });

  it("with another key under a version that was used stops too", async () => {
    await sql`INSERT INTO key_encryption_keys (fingerprint, name) VALUES ('0123456789abcdef', 'file:7')`.execute(scene.owner.db);
    const before = await everything();
    await expect(start(`1:${first}\n7:${randomBytes(32).toString("base64url")}`)).rejects.toThrow("0123456789abcdef");
    expect(await everything()).toEqual(before);
  });
});

describe("a KMS in a process of its own", () => {
  let kms: Kms;
  let service: RunningService;
  beforeAll(async () => {
    kms = await startKms();
    const held = keyEncryptionField.parse(`1:${first}`)!;
    service = await start(undefined, { current: kms.key, keys: [kms.key, ...held.keys] });
  });
  afterAll(async () => {
    await service.close();
    await kms.stop();
  });

  it("wraps and unwraps the data keys, and what was wrapped before still opens", async () => {
    const value = randomBytes(24).toString("base64url");
    expect((await create(service, "by-kms", value)).status).toBe(201);
    expect(await read(service, "by-kms")).toMatchObject({ status: 200, body: { value } });
    expect((await read(service, "kept")).status).toBe(200);
    const rows = await scene.owner.db
      .selectFrom("secret_versions")
      .select("wrapped_by")
      .distinct()
      .orderBy("wrapped_by")
      .execute();
    expect(rows.map((row) => row.wrapped_by)).toContain(kms.key.fingerprint);
  });

  it("away, answers wait: 503, nothing half-made, and what others wrapped goes on", async () => {
    await kms.stop();
    expect((await create(service, "made-away")).status).toBe(503);
    expect((await read(service, "by-kms")).status).toBe(503);
    expect((await read(service, "kept")).status).toBe(200);
    const made = await scene.owner.db.selectFrom("secrets").select("id").where("name", "=", "made-away").execute();
    expect(made).toEqual([]);
  });
});

it("no key-encryption key stands in the logs", () => {
  expect(logs.text()).not.toContain(first);
});

function start(keys: string | undefined, keyEncryption?: KeyEncryption): Promise<RunningService> {
  const { NEXUS_KEY_ENCRYPTION_KEYS: _, ...environment } = scene.environment;
  const config = loadConfig(
    configSchema,
    keys === undefined ? environment : { ...environment, NEXUS_KEY_ENCRYPTION_KEYS: keys },
    configRules,
  );
  const logger = createLogger({ service: "pv-keys", level: "debug", destination: logs.stream });
  return startService(config, { logger, keyEncryption });
}

function create(service: RunningService, name: string, value = randomBytes(24).toString("base64url")): Promise<Response> {
  const body = { name, value, readers: ["puaboai-sdk"], scope: "installation" satisfies Secret["scope"] };
  return scene.call(`${service.url}/v1/secrets`, admin, { body });
}

async function read(service: RunningService, name: string): Promise<{ status: number; body: ReadSecretAnswer }> {
  const answer = await scene.call(`${service.internalUrl}/v1/secrets/read`, scene.serviceToken, { body: { name } });
  return { status: answer.status, body: (await answer.json()) as ReadSecretAnswer };
}

/** Every row of every table, but for the leases that a process takes which had started. */
async function everything(): Promise<Record<string, string[]>> {
  const { rows } = await sql<{ name: string }>`SELECT c.oid::regclass::text AS name FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1`.execute(scene.owner.db);
  const contents = await Promise.all(
    rows.map(async ({ name }) => {
      const found = await sql<{ line: string }>`SELECT t::text AS line FROM ${sql.table(name)} AS t ORDER BY 1`.execute(
        scene.owner.db,
      );
      return [name, found.rows.map(({ line }) => line)] as const;
    }),
  );
  return Object.fromEntries(contents);
}

interface Kms {
  key: KeyEncryptionKey;
  stop(): Promise<void>;
}

/** Holds its key in its own memory and speaks HTTP: what it wraps cannot be opened without it. */
const kmsProgram = `
  const { createCipheriv, createDecipheriv, randomBytes } = require("node:crypto");
  const key = randomBytes(32);
  require("node:http").createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { data, bound } = JSON.parse(Buffer.concat(chunks));
    const [bytes, aad] = [Buffer.from(data, "base64"), Buffer.from(bound, "base64")];
    const answer = (status, out) => response.writeHead(status).end(out.toString("base64"));
    if (request.url === "/wrap") {
      const iv = randomBytes(12);
      const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(aad);
      return answer(200, Buffer.concat([iv, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]));
    }
    try {
      const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, 12)).setAAD(aad).setAuthTag(bytes.subarray(-16));
      return answer(200, Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]));
    } catch {
      return answer(400, Buffer.alloc(0));
    }
  }).listen(0, "127.0.0.1", function () { console.log(this.address().port); });`;

async function startKms(): Promise<Kms> {
  const child: ChildProcess = spawn(process.execPath, ["-e", kmsProgram], { stdio: ["ignore", "pipe", "inherit"] });
  const [port] = (await once(createInterface(child.stdout!), "line")) as [string];
  const ask = async (path: string, data: Buffer, bound: Buffer): Promise<Buffer> => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: "POST",
      body: JSON.stringify({ data: data.toString("base64"), bound: bound.toString("base64") }),
      signal: AbortSignal.timeout(2000),
    });
    if (answer.status === 400) throw new CannotOpen("the data key");
    return Buffer.from(await answer.text(), "base64");
  };
  return {
    key: {
      name: "kms:test",
      fingerprint: "kms:eu-1:alias_nexus",
      wrap: (dataKey, bound) => ask("/wrap", dataKey, bound),
      unwrap: (wrapped, bound) => ask("/unwrap", wrapped, bound),
    },
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}
