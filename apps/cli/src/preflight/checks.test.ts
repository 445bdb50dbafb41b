import { describe, expect, it } from "vitest";
import type { ComposeModel, ComposeService } from "../docker/compose-model.ts";
import { parseEnvFile } from "../env-file/parse-env-file.ts";
import { renderFresh } from "../env-file/render-env-file.ts";
import { secretFileContents, secretsGroup } from "../env-file/secret-files.ts";
import { allChecks } from "./all-checks.ts";
import type { Facts } from "./facts.ts";
import { runPreflight, selectChecks } from "./run-preflight.ts";

const values = parseEnvFile(renderFresh()).values;

/** The five containers as docker-compose.pf.yml describes them, shortened to what checks look at. */
function soundModel(): ComposeModel {
  const base = (name: string, image: string): ComposeService => ({
    container_name: name,
    image,
    healthcheck: { test: ["CMD", "true"], interval: "30s", retries: 3 },
    restart: "unless-stopped",
    mem_limit: "536870912",
    pids_limit: 128,
    read_only: true,
    cap_drop: ["ALL"],
    security_opt: ["no-new-privileges:true"],
    logging: { options: { "max-size": "10m", "max-file": "5" } },
  });
  const healthy = { condition: "service_healthy" };
  const data = { "nexus-cos-postgres": healthy, "nexus-cos-redis": healthy };
  const application = (name: string, port: number): ComposeService => ({
    ...base(name, `nexus-cos/${name}:local`),
    ports: [{ target: port, published: String(port) }],
    environment: { DB_PASSWORD_FILE: "/run/secrets/x" },
    depends_on: { ...data, "nexus-cos-migrations": { condition: "service_completed_successfully" } },
  });
  const { healthcheck: _, ...oneShot } = base("nexus-cos-migrations", "nexus-cos/db-admin:local");
  return {
    services: {
      "nexus-cos-postgres": base("nexus-cos-postgres", "postgres:15-alpine"),
      "nexus-cos-redis": base("nexus-cos-redis", "redis:7-alpine"),
      "nexus-cos-migrations": { ...oneShot, restart: "no", depends_on: data },
      "puabo-api": application("puabo-api", 4000),
      "nexus-cos-puaboai-sdk": application("nexus-cos-puaboai-sdk", 3002),
      "nexus-cos-pv-keys": application("nexus-cos-pv-keys", 3041),
    },
    networks: { "nexus-network": { name: "nexus-network" } },
    volumes: { postgres_data: {}, redis_data: {}, gateway_spool: {} },
  };
}

function soundFacts(): Facts {
  const files = [...secretFileContents(values)].map(([name, content]) => ({ name, content, mode: 0o440, group: secretsGroup }));
  return {
    engine: { value: "26.1.5+dfsg1" },
    compose: { value: "2.26.1-4" },
    model: { value: { model: soundModel(), warnings: [] } },
    env: { file: parseEnvFile(renderFresh(values)), mode: 0o600 },
    secrets: { directoryMode: 0o700, files },
    committed: { value: [] },
    volumes: { value: ["nexus-cos_postgres_data"] },
    ports: [4000, 3002, 3041].map((port) => ({ port, holder: undefined })),
    machine: { cpus: 2, memoryBytes: 4 * 1024 ** 3, diskFreeBytes: 20 * 1024 ** 3 },
  };
}

type Plant = (facts: Facts) => Facts;

const withService =
  (name: string, change: Partial<ComposeService>): Plant =>
  (facts) => {
    const model = soundModel();
    const services = { ...model.services, [name]: { ...model.services[name], ...change } };
    return { ...facts, model: { value: { model: { ...model, services }, warnings: [] } } };
  };
const withEnv =
  (changes: Record<string, string>): Plant =>
  (facts) => ({ ...facts, env: { mode: 0o600, file: { values: new Map([...values, ...Object.entries(changes)]), faults: [] } } });
const withFile =
  (name: string, change: { mode?: number; group?: number; content?: string }): Plant =>
  (facts) => {
    const files = (facts.secrets?.files ?? []).map((file) => (file.name === name ? { ...file, ...change } : file));
    return { ...facts, secrets: { directoryMode: 0o700, files } };
  };
const withMachine =
  (change: Partial<Facts["machine"]>): Plant =>
  (facts) => ({ ...facts, machine: { ...facts.machine, ...change } });

/** Check → one fault, and what the evidence has to name. */
const planted: Record<string, [Plant, RegExp]> = {
  "engine.reachable": [(f) => ({ ...f, engine: { fault: "Cannot connect to the Docker daemon" } }), /Cannot connect/],
  "engine.version": [(f) => ({ ...f, engine: { value: "24.0.9" } }), /24\.0\.9/],
  "compose.version": [(f) => ({ ...f, compose: { value: "v2.23.3" } }), /2\.23\.3/],
  "host.ports": [
    (f) => ({ ...f, ports: [{ port: 4000, holder: { ours: false, who: "nginx (process 7)" } }] }),
    /4000 is held by nginx/,
  ],
  "host.disk": [withMachine({ diskFreeBytes: 1024 ** 3 }), /1\.0 GiB/],
  "host.memory": [withMachine({ memoryBytes: 1024 ** 3 }), /1\.0 GiB/],
  "host.cpus": [withMachine({ cpus: 1 }), /it has 1/],
  "model.resolves": [
    (f) => ({ ...f, model: { value: { model: soundModel(), warnings: ['The "X" variable is not set'] } } }),
    /"X" variable is not set/,
  ],
  "model.containers": [withService("puabo-api", { container_name: "api" }), /no container puabo-api/],
  "model.start-order": [
    withService("nexus-cos-pv-keys", { depends_on: {} }),
    /nexus-cos-pv-keys does not wait for nexus-cos-migrations/,
  ],
  "model.published-ports": [
    withService("nexus-cos-pv-keys", {
      ports: [
        { target: 3041, published: "3041" },
        { target: 13_041, published: "13041" },
      ],
    }),
    /nexus-cos-pv-keys: publishes 13041/,
  ],
  "model.data-ports": [
    withService("nexus-cos-postgres", { ports: [{ target: 5432, published: "5432" }] }),
    /nexus-cos-postgres: publishes 5432/,
  ],
  "model.host-ports-differ": [
    withService("nexus-cos-pv-keys", { ports: [{ target: 3041, published: "4000" }] }),
    /4000 is wanted twice/,
  ],
  "model.private-network": [withService("puabo-api", { network_mode: "host" }), /puabo-api: uses the host's network/],
  "model.images-pinned": [withService("nexus-cos-redis", { image: "redis:latest" }), /redis:latest has no version/],
  "model.health-checks": [
    withService("nexus-cos-redis", { healthcheck: { test: ["NONE"] } }),
    /nexus-cos-redis: has no health check/,
  ],
  "model.restart": [withService("puabo-api", { restart: "no" }), /puabo-api: restart is no/],
  "model.limits": [withService("puabo-api", { mem_limit: 0 }), /puabo-api: no mem_limit/],
  "model.logs": [withService("puabo-api", { logging: {} }), /puabo-api: logs grow/],
  "model.hardening": [withService("nexus-cos-postgres", { cap_add: ["SETUID"] }), /nexus-cos-postgres: keeps capabilities/],
  "model.no-secret-in-environment": [
    withService("puabo-api", { environment: { DATABASE_URL: `postgres://u:${values.get("DB_PASSWORD")}@h/d` } }),
    /puabo-api: DATABASE_URL/,
  ],
  "env.present": [(f) => ({ ...f, env: undefined }), /the volume postgres_data exists/],
  "env.readable": [(f) => ({ ...f, env: { mode: 0o600, file: parseEnvFile("export A=1") } }), /line 1/],
  "env.known-names": [withEnv({ DB_PASWORD: "x" }), /DB_PASWORD is not known/],
  "env.complete": [withEnv({ JWT_SECRET: "" }), /JWT_SECRET is missing/],
  "env.values": [
    withEnv({ PORT: "70000", NEXUS_PUBLIC_URL: "http://example.com" }),
    /PORT must be a port.*NEXUS_PUBLIC_URL must be https/,
  ],
  "env.mode": [(f) => ({ ...f, env: { mode: 0o644, file: { values, faults: [] } } }), /644/],
  "env.not-committed": [(f) => ({ ...f, committed: { value: [".env.pf"] } }), /\.env\.pf is tracked/],
  "secrets.published": [withEnv({ DB_PASSWORD: ["Momoney", "2025$"].join("") }), /DB_PASSWORD has a published value/],
  "secrets.weak": [withEnv({ JWT_SECRET: "abababababababababababababababab" }), /JWT_SECRET is too weak/],
  "secrets.reused": [withEnv({ JWT_SECRET: values.get("NEXUS_AUDIT_KEY") ?? "" }), /JWT_SECRET, NEXUS_AUDIT_KEY are the same/],
  "secrets.directory": [(f) => ({ ...f, secrets: { directoryMode: 0o755, files: f.secrets?.files ?? [] } }), /755/],
  "secrets.files": [withFile("jwt_secret", { mode: 0o644 }), /jwt_secret has mode 644/],
  "secrets.database-password": [withFile("db_password", { content: "the-one-before\n" }), /DB_PASSWORD was changed/],
};

const resultOf = (facts: Facts, id: string) => runPreflight(facts, selectChecks({ only: [id] })).results[0];

describe("the pre-flight", () => {
  it("says go for a sound machine, with every check passed", () => {
    const report = runPreflight(soundFacts(), allChecks);
    expect(report.results.filter(({ state }) => state !== "pass")).toEqual([]);
    expect(report).toMatchObject({ go: true, score: 100 });
  });

  it("has a planted fault for every check, and no two checks with one id", () => {
    expect(Object.keys(planted).toSorted()).toEqual(allChecks.map(({ id }) => id).toSorted());
  });

  it.each(Object.entries(planted))("%s fails over its fault and names it", (id, [plant, evidence]) => {
    const result = resultOf(plant(soundFacts()), id);
    expect(result).toMatchObject({ id, state: "fail" });
    expect(result?.evidence).toMatch(evidence);
    expect(result?.fix).not.toBe("");
  });

  it("says no-go for each critical fault, and go for a warning", () => {
    for (const { id, severity } of allChecks) {
      const facts = (planted[id]?.[0] ?? ((f) => f))(soundFacts());
      expect(runPreflight(facts, selectChecks({ only: [id] })).go, id).toBe(severity === "warning");
    }
  });

  it("shows no secret in any evidence", () => {
    for (const [plant] of Object.values(planted)) {
      const text = JSON.stringify(runPreflight(plant(soundFacts()), allChecks));
      for (const content of secretFileContents(values).values()) if (content) expect(text).not.toContain(content);
    }
  });

  it("lets a machine go that has no .env.pf and no data yet", () => {
    const facts: Facts = { ...soundFacts(), env: undefined, secrets: undefined, volumes: { value: [] } };
    expect(runPreflight(facts, allChecks).go).toBe(true);
  });

  it("takes ports that this deployment itself holds for sound", () => {
    const ports = [{ port: 4000, holder: { ours: true, who: "container puabo-api" } }];
    expect(resultOf({ ...soundFacts(), ports }, "host.ports")?.state).toBe("pass");
  });

  it("refuses the name of a check that does not exist", () => {
    expect(() => selectChecks({ only: ["secrets.wek"] })).toThrow("secrets.wek");
    expect(() => selectChecks({ skip: ["nothing"] })).toThrow("nothing");
  });

  it("selects by id and by group", () => {
    expect(selectChecks({ only: ["secrets"] }).every(({ id }) => id.startsWith("secrets."))).toBe(true);
    expect(selectChecks({ skip: ["secrets.weak"] })).toHaveLength(allChecks.length - 1);
  });
});
