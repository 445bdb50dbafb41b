/** pv-keys on a real database, with a stand-in for puabo-api. The service is started by the test: packages know no services. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { uuidOf } from "@nexus/core";
import type { Database } from "@nexus/db";
import { createTestDatabase, type TestDatabase } from "./create-test-database.ts";
import { type FakeIssuer, startFakeIssuer } from "./start-fake-issuer.ts";

export type ScenePerson = ReturnType<FakeIssuer["person"]>;

export interface KeysScene {
  database: TestDatabase;
  owner: Database;
  issuer: FakeIssuer;
  environment: Record<string, string>;
  /** What puaboai-sdk shows on the private listener. */
  serviceToken: string;
  /** A person with an organization that they own, both in the database. */
  person(roles?: string[]): Promise<ScenePerson>;
  /** A request with a person's token, or with the credential given as text. */
  call(url: string, by: ScenePerson | string, options?: { method?: string; body?: unknown; headers?: object }): Promise<Response>;
  close(): Promise<void>;
}

export async function openKeysScene(): Promise<KeysScene> {
  const folder = mkdtempSync(join(tmpdir(), "nexus-keys-"));
  const [database, issuer] = await Promise.all([createTestDatabase(), startFakeIssuer()]);
  const owner = database.openOwner();
  const serviceToken = randomBytes(32).toString("base64url");
  writeFileSync(join(folder, "own"), randomBytes(32).toString("base64url"));
  writeFileSync(join(folder, "gateway"), serviceToken);
  const { keys } = database;
  return {
    database,
    owner,
    issuer,
    serviceToken,
    environment: {
      PORT: "0",
      DB_HOST: keys.host,
      DB_PORT: String(keys.port),
      DB_NAME: keys.database,
      DB_USER: keys.user,
      DB_PASSWORD: keys.password,
      NEXUS_AUDIT_KEY: randomBytes(32).toString("base64url"),
      NEXUS_KEY_PEPPERS: `1:${randomBytes(32).toString("base64url")}`,
      NEXUS_KEY_ENCRYPTION_KEYS: `1:${randomBytes(32).toString("base64url")}`,
      NEXUS_SERVICE_TOKEN_FILE: join(folder, "own"),
      NEXUS_CALLER_TOKEN_FILES: `puaboai-sdk=${join(folder, "gateway")}`,
      NEXUS_PUBLIC_URL: issuer.url,
      PUABO_API_URL: issuer.url,
    },
    person: async (roles) => {
      const person = issuer.person(roles);
      await insertPerson(owner, person);
      return person;
    },
    call: (url, by, { method, body, headers } = {}) =>
      fetch(url, {
        method: method ?? (body === undefined ? "GET" : "POST"),
        headers: {
          authorization: `Bearer ${typeof by === "string" ? by : issuer.token(by, "pv-keys")}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    close: async () => {
      await Promise.all([issuer.close(), database.drop()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function insertPerson({ db }: Database, person: ScenePerson): Promise<void> {
  const [id = "", organization = ""] = [uuidOf("user", person.userId), uuidOf("organization", person.organizationId)];
  await db.insertInto("organizations").values({ id: organization, name: "test", personal: true }).execute();
  await db
    .insertInto("users")
    .values({ id, email: `${id}@example.test`, name: "Test" })
    .execute();
  await db.insertInto("members").values({ organization_id: organization, user_id: id, role: "owner" }).execute();
}
