/** One process of the fleet that decides about keys, with its wires, and what it says of a key. */
import type { VerifyKeyAnswer } from "@nexus/contracts/verify-key";
import { type ServiceProcess, startServiceProcess } from "./child.ts";
import { folderOf, type Scene } from "./scene.ts";
import type { Relay } from "./wires.ts";

export interface Replica extends ServiceProcess {
  readonly name: string;
  readonly kind: "pv-keys" | "gateway";
  readonly url: string;
  readonly internalUrl: string;
  readonly wires: OwnWires;
  /** What it says of a key. Never rejects. */
  check(secret: string, options?: { timeoutMs?: number }): Promise<Verdict>;
}

interface OwnWires {
  postgres: Relay;
  redis: Relay;
  /** A gateway's way to its pv-keys. */
  keys?: Relay;
}

/** `unavailable`: it answered that it cannot tell (503). `silent`: no answer in time, or no connection. */
export type Verdict = "accepted" | "refused" | "unavailable" | "silent" | `status ${number}`;

export async function startKeysReplica(scene: Scene, name: string): Promise<Replica> {
  const wires = { postgres: await scene.wires.open(scene.database.keys.port), redis: await scene.wires.open(scene.redis.port) };
  const service = await startServiceProcess({
    service: "pv-keys",
    directory: folderOf(scene, name),
    environment: ({ port, internalPort }) => ({
      ...scene.environment("keys", wires),
      PORT: String(port),
      NEXUS_PV_KEYS_INTERNAL_PORT: String(internalPort),
    }),
  });
  const check: Replica["check"] = (secret, { timeoutMs = 10_000 } = {}) =>
    verdictOf(timeoutMs, async (signal) => {
      const answer = await fetch(`http://127.0.0.1:${service.internalPort}/v1/keys/verify`, {
        method: "POST",
        headers: { authorization: `Bearer ${scene.serviceToken}`, "content-type": "application/json" },
        body: JSON.stringify({ key: secret }),
        signal,
      });
      const body = (await answer.json()) as VerifyKeyAnswer;
      if (answer.status !== 200) return answer.status;
      return body.valid ? "accepted" : "refused";
    });
  return replicaOf(service, { name, kind: "pv-keys", wires, check });
}

export async function startGatewayReplica(
  scene: Scene,
  name: string,
  { keys, processes }: { keys: Replica; processes: number },
): Promise<Replica> {
  const wires = {
    postgres: await scene.wires.open(scene.database.ai.port),
    redis: await scene.wires.open(scene.redis.port),
    keys: await scene.wires.open(keys.internalPort),
  };
  const directory = folderOf(scene, name);
  const service = await startServiceProcess({
    service: "puaboai-sdk",
    directory,
    environment: ({ port, internalPort }) => ({
      ...scene.environment("ai", wires),
      PORT: String(port),
      NEXUS_PUABOAI_SDK_INTERNAL_PORT: String(internalPort),
      NEXUS_GATEWAY_CONFIG: scene.gatewaySettings,
      NEXUS_SPOOL_DIR: scene.spoolOf(name),
      NEXUS_FIND_LOCAL_MODELS: "false",
      NEXUS_PUABOAI_SDK_PROCESSES: String(processes),
      PV_KEYS_INTERNAL_URL: `http://127.0.0.1:${wires.keys.port}`,
    }),
  });
  const check: Replica["check"] = (secret, { timeoutMs = 10_000 } = {}) =>
    verdictOf(timeoutMs, async (signal) => {
      const headers = { authorization: `Bearer ${secret}` };
      const answer = await fetch(`http://127.0.0.1:${service.port}/v1/models`, { headers, signal });
      await answer.arrayBuffer();
      if (answer.status === 200) return "accepted";
      return answer.status === 401 || answer.status === 403 ? "refused" : answer.status;
    });
  return replicaOf(service, { name, kind: "gateway", wires, check });
}

function replicaOf(service: ServiceProcess, more: Pick<Replica, "name" | "kind" | "wires" | "check">): Replica {
  return Object.assign(service, {
    ...more,
    url: `http://127.0.0.1:${service.port}`,
    internalUrl: `http://127.0.0.1:${service.internalPort}`,
  });
}

async function verdictOf(timeoutMs: number, ask: (signal: AbortSignal) => Promise<Verdict | number>): Promise<Verdict> {
  try {
    const said = await ask(AbortSignal.timeout(timeoutMs));
    if (typeof said !== "number") return said;
    return said === 503 ? "unavailable" : `status ${said}`;
  } catch {
    return "silent";
  }
}
