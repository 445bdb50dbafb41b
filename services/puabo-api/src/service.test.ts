import { createServer } from "node:net";
import { loadConfig } from "@nexus/config";
import { createLogger } from "@nexus/telemetry";
import { captureLogs, waitFor } from "@nexus/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { configRules, configSchema, startService } from "./service.ts";
import { openSurroundings, startTestService, type Surroundings } from "./start-test-service.test.ts";

let surroundings: Surroundings;
beforeAll(async () => {
  surroundings = await openSurroundings();
});
afterAll(async () => {
  await surroundings.close();
});

const logger = createLogger({ service: "puabo-api", level: "error", destination: captureLogs().stream });
const configWith = (env: Record<string, string>) => loadConfig(configSchema, { ...surroundings.env, ...env }, configRules);

test("a service whose migrations are missing is alive but not ready", async () => {
  const owner = surroundings.database.openOwner().db;
  const service = await startTestService(surroundings);
  const name = (await owner.selectFrom("schema_migrations").select("name").orderBy("name", "desc").executeTakeFirstOrThrow())
    .name;
  const row = await owner.deleteFrom("schema_migrations").where("name", "=", name).returningAll().executeTakeFirstOrThrow();
  const answer = await service.call("GET", "/readyz");
  expect([answer.status, answer.json.reasons]).toEqual([503, [`migration ${name} has not run`]]);
  expect((await service.call("GET", "/livez")).status).toBe(200);
  await owner.insertInto("schema_migrations").values(row).execute();
  await waitFor(async () => (await service.call("GET", "/readyz")).status === 200);
  await service.close();
});

test("the partitions of the coming months are made at the start", async () => {
  const owner = surroundings.database.openOwner().db;
  const next = new Date();
  next.setUTCDate(1);
  next.setUTCMonth(next.getUTCMonth() + 1);
  const partition = `module_checks_${next.toISOString().slice(0, 7).replace("-", "")}`;
  await owner.schema.dropTable(partition).execute();
  const service = await startTestService(surroundings);
  await waitFor(async () => (await owner.introspection.getTables()).some((table) => table.name === partition));
  await service.close();
});

test("it does not start on a database without tables, on one that is away, or on a taken port, and says why in a sentence", async () => {
  const free = { PORT: 0, NEXUS_PUABO_API_INTERNAL_PORT: 0 };
  const away = configWith({ DB_PORT: "1" });
  await expect(startService({ ...away, ...free }, { logger })).rejects.toThrow(/PostgreSQL at 127\.0\.0\.1:1 cannot be used/);
  const empty = configWith({
    DB_NAME: "postgres",
    DB_USER: surroundings.database.owner.user,
    DB_PASSWORD: surroundings.database.owner.password,
  });
  await expect(startService({ ...empty, ...free }, { logger })).rejects.toThrow("the database has not been migrated");

  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
  const { port } = holder.address() as { port: number };
  const taken = startService({ ...configWith({}), ...free, PORT: port }, { logger });
  await expect(taken).rejects.toMatchObject({ code: "EADDRINUSE", port });
  holder.close();
});

test("a restart of PostgreSQL under it is over when PostgreSQL is back", async () => {
  const service = await startTestService(surroundings);
  await surroundings.postgres.set("shut");
  await waitFor(async () => (await service.call("GET", "/health")).status === 503);
  expect((await service.call("GET", "/livez")).status).toBe(200);
  await surroundings.postgres.set("open");
  await waitFor(async () => (await service.call("GET", "/health")).status === 200);
  expect((await service.call("GET", "/api/status")).status).toBe(200);
  await service.close();
});

test("a PostgreSQL that hangs costs a deadline, then 503 with Retry-After, and nothing of it in the answer", async () => {
  const service = await startTestService(surroundings);
  await surroundings.postgres.set("stuck");
  const body = { email: "somebody@example.org", password: "a long pass phrase of mine" };
  const answer = await service.call("POST", "/api/auth/sign-in/email", { body });
  expect([answer.status, answer.json.code, answer.headers.get("retry-after")]).toEqual([503, "UNAVAILABLE", "2"]);
  expect(answer.json.message).toBe("Not available at the moment");
  await surroundings.postgres.set("open");
  await service.close();
});

test("openapi.json is 3.1 and describes every route with its permission", async () => {
  const service = await startTestService(surroundings);
  const { openapi, paths } = (await service.call("GET", "/openapi.json")).json;
  expect(openapi).toBe("3.1.0");
  for (const path of [
    "/setup",
    "/api/auth/sign-in/email",
    "/api/auth/token",
    "/api/auth/jwks",
    "/api/audit/events",
    "/api/{module}/status",
    "/api/status",
  ]) {
    expect(Object.keys(paths)).toContain(path);
  }
  expect(paths["/api/audit/events"].get["x-permission"]).toBe("admin|scope:audit:read");
  await service.close();
});
