import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "@nexus/testing";
import { forkServer, startService } from "./start-child.ts";
import type { Platform } from "./start-platform.ts";

interface MeasuredGateway {
  gateway: { pid: number; url: string };
  passThrough: { pid: number; url: string };
  upstream: { pid: number; url: string };
  /** Headers of a call with a key that may. */
  headers: Record<string, string>;
}

const upstreamProgram = new URL("../against/upstream.ts", import.meta.url).pathname;
const passThroughProgram = new URL("../against/pass-through.ts", import.meta.url).pathname;

/** The gateway as it is deployed, with a priced model behind it, and beside it the bare pass-through to the same upstream. */
export async function startGateway(platform: Platform, options: { frameMs: number }): Promise<MeasuredGateway> {
  const upstream = await forkServer(upstreamProgram, [String(options.frameMs)]);
  platform.onStop(() => upstream.stop());
  return { ...(await startGatewayBefore(platform, upstream.url)), upstream };
}

/** The same before an upstream that runs. */
export async function startGatewayBefore(platform: Platform, upstreamUrl: string): Promise<Omit<MeasuredGateway, "upstream">> {
  const passThrough = await forkServer(passThroughProgram, [upstreamUrl]);
  platform.onStop(() => passThrough.stop());
  const plan = await planGateway(platform, upstreamUrl);
  const gateway = await startService("puaboai-sdk", plan.port, plan.environment);
  platform.onStop(() => gateway.stop());
  return { gateway: { pid: gateway.pid, url: plan.url }, passThrough, headers: await callHeaders(platform) };
}

/** Of a call with a fresh key. */
export async function callHeaders(platform: Platform): Promise<Record<string, string>> {
  return { authorization: `Bearer ${await platform.makeKey()}`, "content-type": "application/json" };
}

export interface GatewayPlan {
  port: number;
  url: string;
  environment: Record<string, string>;
}

/** All that a gateway process needs to start; a second plan is of a second process that shares the first one's spool. */
export async function planGateway(platform: Platform, upstreamUrl: string): Promise<GatewayPlan> {
  const settings = join(platform.directory, "gateway.yaml");
  const spool = join(platform.directory, "spool");
  await mkdir(spool, { recursive: true });
  await writeFile(settings, gatewaySettings(upstreamUrl));
  const [port, internalPort] = [await freePort(), await freePort()];
  const environment = {
    ...platform.environment("nexus_ai"),
    NEXUS_PUABOAI_SDK_INTERNAL_PORT: String(internalPort),
    NEXUS_GATEWAY_CONFIG: settings,
    NEXUS_SPOOL_DIR: spool,
    NEXUS_FIND_LOCAL_MODELS: "false",
    NEXUS_DEFAULT_BUDGET_NANOS: "90000000000000000",
    PV_KEYS_INTERNAL_URL: platform.keys.internalUrl,
  };
  return { port, url: `http://127.0.0.1:${port}`, environment };
}

/** A priced model: budget, reservation and metering are on. Its name is the upstream's own, so the body passes as it is. */
function gatewaySettings(upstreamUrl: string): string {
  return `
providers:
  bench: { base_url: "${upstreamUrl}/v1", allow_private_network: true, max_concurrent: 10000 }
models:
  - id: bench
    provider: bench
    kind: chat
    context_tokens: 200000
    max_output_tokens: 100000
    price: { unit: usd_per_million_tokens, input: "1", output: "2", source: bench, effective: 2026-01-01 }
`;
}
