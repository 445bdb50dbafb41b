import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "@nexus/testing";
import { type Child, forkServer, startService } from "./start-child.ts";
import type { Platform } from "./start-platform.ts";

interface MeasuredGateway {
  gateway: { pid: number; url: string };
  passThrough: { pid: number; url: string };
  /** Headers of a call with a key that may. */
  headers: Record<string, string>;
}

const upstreamProgram = new URL("../against/upstream.ts", import.meta.url).pathname;
const passThroughProgram = new URL("../against/pass-through.ts", import.meta.url).pathname;

/** The gateway as it is deployed, with a priced model behind it, and beside it the bare pass-through to the same upstream. */
export async function startGateway(platform: Platform, options: { frameMs: number }): Promise<MeasuredGateway> {
  const keep = <T extends Child>(child: T): T => {
    platform.onStop(() => child.stop());
    return child;
  };
  const upstream = keep(await forkServer(upstreamProgram, [String(options.frameMs)]));
  const passThrough = keep(await forkServer(passThroughProgram, [upstream.url]));
  const settings = join(platform.directory, "gateway.yaml");
  const spool = join(platform.directory, "spool");
  await mkdir(spool);
  await writeFile(settings, gatewaySettings(upstream.url));
  const [port, internalPort] = [await freePort(), await freePort()];
  const child = await startService("puaboai-sdk", port, {
    ...platform.environment("nexus_ai"),
    NEXUS_PUABOAI_SDK_INTERNAL_PORT: String(internalPort),
    NEXUS_GATEWAY_CONFIG: settings,
    NEXUS_SPOOL_DIR: spool,
    NEXUS_FIND_LOCAL_MODELS: "false",
    NEXUS_DEFAULT_BUDGET_NANOS: "90000000000000000",
    PV_KEYS_INTERNAL_URL: platform.keys.internalUrl,
  });
  keep(child);
  const headers = { authorization: `Bearer ${await platform.makeKey()}`, "content-type": "application/json" };
  return { gateway: { pid: child.pid, url: `http://127.0.0.1:${port}` }, passThrough, headers };
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
    context_tokens: 8000
    max_output_tokens: 1000
    price: { unit: usd_per_million_tokens, input: "1", output: "2", source: bench, effective: 2026-01-01 }
`;
}
