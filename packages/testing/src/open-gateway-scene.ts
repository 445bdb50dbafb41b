/** The AI gateway on a real database, with stand-ins for its two neighbours. The service is handed in: packages know no services. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newUuid, uuidOf } from "@nexus/core";
import type { Connection, Database } from "@nexus/db";
import { createTestDatabase, type TestDatabase } from "./create-test-database.ts";
import { type FakeIssuer, startFakeIssuer } from "./start-fake-issuer.ts";
import { type FakePvKeys, startFakePvKeys } from "./start-fake-pv-keys.ts";

/** Everything around a gateway, and the environment that it is started with. */
export interface GatewayScene {
  database: TestDatabase;
  owner: Database;
  issuer: FakeIssuer;
  pvKeys: FakePvKeys;
  /** A folder of the test's own; the spool lies in it. */
  directory: string;
  environment: Record<string, string>;
  /** Writes gateway.yaml and returns its path. */
  writeSettings(yaml: string): string;
  /** A key of a new organization that exists in the database, with a budget where one is given. */
  issueKey(options?: {
    budgetNanos?: bigint;
    models?: string[];
    scopes?: string[];
  }): Promise<{ key: string; id: string; organizationId: string }>;
  close(): Promise<void>;
}

export async function openGatewayScene(): Promise<GatewayScene> {
  const directory = mkdtempSync(join(tmpdir(), "nexus-gateway-"));
  const token = `service-token-${newUuid()}`;
  const tokenFile = join(directory, "token");
  writeFileSync(tokenFile, token);
  const [database, issuer] = await Promise.all([createTestDatabase(), startFakeIssuer()]);
  const owner = database.openOwner();
  const pvKeys = await startFakePvKeys(token, owner);
  return {
    database,
    owner,
    issuer,
    pvKeys,
    directory,
    environment: {
      ...connectionEnvironment(database.ai),
      NEXUS_AUDIT_KEY: "k".repeat(16) + newUuid(),
      NEXUS_SERVICE_TOKEN_FILE: tokenFile,
      NEXUS_SPOOL_DIR: join(directory, "spool"),
      NEXUS_FIND_LOCAL_MODELS: "false",
      NEXUS_PUBLIC_URL: issuer.url,
      PUABO_API_URL: issuer.url,
      PV_KEYS_INTERNAL_URL: pvKeys.url,
      NEXUS_STOP_SECONDS: "2",
    },
    writeSettings: (yaml) => {
      const path = join(directory, `gateway-${newUuid()}.yaml`);
      writeFileSync(path, yaml);
      return path;
    },
    issueKey: async ({ budgetNanos, ...change } = {}) => {
      const issued = pvKeys.issue(change);
      const organizationId = uuidOf("organization", issued.organizationId) ?? "";
      await owner.db.insertInto("organizations").values({ id: organizationId, name: "test" }).execute();
      if (budgetNanos !== undefined) {
        const budget = {
          id: newUuid(),
          organization_id: organizationId,
          level: "organization" as const,
          limit_nanos: budgetNanos,
        };
        await owner.db.insertInto("budgets").values(budget).execute();
      }
      return issued;
    },
    close: async () => {
      await Promise.all([issuer.close(), pvKeys.close(), database.drop()]);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function connectionEnvironment(connection: Connection): Record<string, string> {
  return {
    DB_HOST: connection.host,
    DB_PORT: String(connection.port),
    DB_NAME: connection.database,
    DB_USER: connection.user,
    DB_PASSWORD: connection.password,
  };
}
