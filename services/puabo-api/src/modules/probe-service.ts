import type { ModuleCheck } from "@nexus/contracts/modules";
import { request } from "undici";
import type { ProbeResult } from "./module-state.ts";

const largestAnswer = 64 * 1024;

interface Health {
  status?: unknown;
  version?: unknown;
  checks?: Record<string, { status?: unknown; observedValue?: unknown }[]>;
}

/** Asks another service's private `/health`. Follows no redirect, reads at most 64 KiB, and believes only what it can read. */
export async function probeService(internalUrl: string, signal: AbortSignal): Promise<ProbeResult> {
  const startedAt = performance.now();
  const answer = await request(`${internalUrl}/health`, { signal, headers: { accept: "application/health+json" } });
  const health = readHealth(await readBounded(answer.body));
  const latencyMs = Math.round(performance.now() - startedAt);
  return {
    outcome: outcomeOf(answer.statusCode, health.status),
    latencyMs,
    version: typeof health.version === "string" ? health.version.slice(0, 100) : undefined,
    checks: presentChecks(health),
  };
}

function outcomeOf(statusCode: number, status: unknown): ProbeResult["outcome"] {
  if (statusCode !== 200) return "failed";
  if (status === "pass") return "operational";
  return status === "warn" ? "degraded" : "failed";
}

async function readBounded(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > largestAnswer) throw new Error("the health answer is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function readHealth(text: string): Health {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null) throw new Error("the health answer is not an object");
  return value;
}

function presentChecks(health: Health): ModuleCheck[] {
  if (typeof health.checks !== "object" || health.checks === null) return [];
  return Object.entries(health.checks)
    .slice(0, 20)
    .flatMap(([name, observations]) => {
      const first = Array.isArray(observations) ? observations[0] : undefined;
      const status = first?.status === "pass" || first?.status === "warn" ? first.status : "fail";
      const latency = first?.observedValue;
      return [{ name: name.slice(0, 100), status, ...(typeof latency === "number" ? { latency_ms: Math.round(latency) } : {}) }];
    });
}
