/**
 * `npm run test:deploy`: the deployment on a real Docker engine, from nothing to taken down, as an operator and a user do it.
 * Ends with `N passed, N failed`; `--keep` leaves it running.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { copyCheckout, isFree } from "./checkout.ts";
import {
  deployAgain,
  failOverCrashLoop,
  refuseBadSettings,
  seeContainers,
  seeHardening,
  seePrivatePorts,
  seeSecrets,
  survivePostgresCrash,
  surviveRedisCrash,
  takeDown,
} from "./container-steps.ts";
import { must, run } from "./engine.ts";
import { makeKey, seeModules, seeRecords, seeRefusals, setUp, talkToModels } from "./journey-steps.ts";
import { containers, type Scene } from "./scene.ts";

const usual = { api: 4000, ai: 3002, keys: 3041 };
const count = { passed: 0, failed: 0 };

async function step(title: string, work: () => Promise<void>): Promise<boolean> {
  const startMs = performance.now();
  const seconds = (): string => `${((performance.now() - startMs) / 1000).toFixed(1)} s`;
  console.log(`…       ${title}`);
  try {
    await work();
    count.passed++;
    console.log(`ok      ${title} (${seconds()})`);
    return true;
  } catch (error) {
    count.failed++;
    console.log(`FAILED  ${title} (${seconds()}): ${error instanceof Error ? error.message : String(error)}`);
    return false;
  }
}

/** @returns why this test cannot be made here */
async function hindrance(): Promise<string | undefined> {
  const engine = await run("docker", ["version", "--format", "{{.Server.Version}}"]);
  if (engine.code !== 0) return `no Docker engine answers: ${engine.output.trim().split("\n").at(-1)}`;
  const taken = await must("docker", ["ps", "--all", "--format", "{{.Names}}"]);
  const ours = taken.split("\n").filter((name) => containers.includes(name));
  return ours.length > 0
    ? `containers of a deployment are there already (${ours.join(", ")}); this test would harm them`
    : undefined;
}

/** The usual ports where they are free, so that the first deployment is tried without any settings; else others. */
async function choosePorts(copy: string): Promise<typeof usual> {
  const free = await Promise.all(Object.values(usual).map(isFree));
  if (free.every(Boolean)) return usual;
  const ports = { api: 24_000, ai: 23_002, keys: 23_041 };
  const settings: Record<string, number | string> = {
    PORT: ports.api,
    NEXUS_PUABOAI_SDK_PORT: ports.ai,
    NEXUS_PV_KEYS_PORT: ports.keys,
    NEXUS_PUBLIC_URL: `http://localhost:${ports.api}`,
  };
  const optional = ["OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "NEXUS_INIT_EMAIL", "NEXUS_INIT_PASSWORD"];
  const text = readFileSync(join(copy, ".env.pf.example"), "utf8").replace(
    /^([A-Z_]+)=(.*)$/gm,
    (line, name: string, value: string) => {
      if (name in settings) return `${name}=${settings[name]}`;
      if (value !== "" || optional.includes(name) || !/PASSWORD|SECRET|PEPPERS|ENCRYPTION_KEYS|AUDIT_KEY|TOKEN_/.test(name))
        return line;
      return `${name}=${/PEPPERS|ENCRYPTION_KEYS/.test(name) ? "1:" : ""}${randomBytes(32).toString("base64url")}`;
    },
  );
  writeFileSync(join(copy, ".env.pf"), text, { mode: 0o600 });
  return ports;
}

async function tryDeployment(scene: Scene): Promise<void> {
  const { copy, project } = scene;
  await step("./validate-pf.sh says go", async () => {
    await must("./validate-pf.sh", ["--project", project], { cwd: copy });
  });
  const up = await step("./deploy-pf.sh brings it up from nothing", async () => {
    await must("./deploy-pf.sh", ["--project", project], { cwd: copy, show: true });
  });
  if (!up) return;
  await step("five containers, healthy, and three published ports", () => seeContainers(scene));
  await step("containers hold no right that they do not need", seeHardening);
  await step("data services and private listeners are on the private network alone", seePrivatePorts);
  await step("every service has its pages", () => seeModules(scene));
  await step("the one-time link makes the first administrator, once", () => setUp(scene));
  const hasKey = await step("sign in and make a key", () => makeKey(scene));
  if (!hasKey) return;
  await step("models, chat, streaming, guide, embeddings", () => talkToModels(scene));
  await step("usage and audit show it", () => seeRecords(scene));
  await step("what has no credential is refused", () => seeRefusals(scene));
  await step("recovers from kill -9 of PostgreSQL", () => survivePostgresCrash(scene));
  await step("recovers from kill -9 of Redis", () => surviveRedisCrash(scene));
  await step("bad settings are refused by name", () => refuseBadSettings(scene));
  await step("a service that cannot start fails the deployment by name", () => failOverCrashLoop(scene));
  await step("./deploy-pf.sh again keeps settings and data", () => deployAgain(scene));
  await step("secrets are files for few eyes, in no environment and in no log", () => seeSecrets(scene));
}

async function main(): Promise<void> {
  const reason = await hindrance();
  if (reason) {
    console.log(`The deployment cannot be tested here: ${reason}`);
    count.failed++;
    return;
  }
  const copy = await copyCheckout();
  const project = `nexus-cos-test-${process.pid}`;
  try {
    const ports = await choosePorts(copy);
    const origin = (port: number): string => `http://127.0.0.1:${port}`;
    const origins = { api: origin(ports.api), ai: origin(ports.ai), keys: origin(ports.keys) };
    await tryDeployment({ copy, project, origins, key: "", keyId: "" });
  } finally {
    if (process.argv.includes("--keep")) console.log(`left running as ${project}, from ${copy}`);
    else {
      await step("it can be taken down, volumes and all", () => takeDown({ copy, project }));
      rmSync(copy, { recursive: true, force: true });
    }
  }
}

await main();
console.log(`\n${count.passed} passed, ${count.failed} failed`);
process.exitCode = count.failed === 0 ? 0 : 1;
