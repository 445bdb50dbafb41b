/**
 * Three pv-keys and three gateways as real processes on one database and one Redis, each behind wires of its own that a test
 * can cut, hang and delay. What a test breaks, `heal` mends.
 */
import type { Receipt as OwnReceipt } from "@nexus/change-feed";
import type { CreatedKey } from "@nexus/contracts/keys";
import type { Receipt } from "@nexus/contracts/receipts";
import { waitFor } from "@nexus/testing";
import { openConfirmer } from "./confirmation.ts";
import { type Replica, startGatewayReplica, startKeysReplica } from "./replica.ts";
import { openScene, type Scene } from "./scene.ts";

export interface Fleet extends Scene {
  keys: Replica[];
  gateways: Replica[];
  /** All six. */
  replicas: Replica[];
  /** A call to pv-keys by the person, or with the credential given. */
  call(replica: Replica, path: string, options?: { body?: unknown; by?: string; method?: string }): Promise<Response>;
  makeKey(body?: object, at?: Replica): Promise<IssuedKey>;
  /** The receipt of a change that the test itself committed just now. */
  confirm(rev: number): Promise<OwnReceipt>;
  /** Ends a key, at the first pv-keys unless told, and waits for the receipt. */
  revoke(id: string, options?: { at?: Replica }): Promise<Receipt>;
  /** Mends every wire, wakes and starts every process, and waits until all of them accept a new key. */
  heal(): Promise<void>;
  stop(): Promise<void>;
}

export interface IssuedKey {
  id: string;
  secret: string;
  /** Of its making. */
  rev: number;
}

interface FleetOptions {
  /** KEY_CHECK_BLIND_SECONDS of every process; 0 unless told. */
  blindSeconds?: number;
  /** The gateways keep their journals in one folder, as on one volume, and replay each other's. */
  sharesSpool?: boolean;
  /** How many of each service; 3 unless told. */
  replicas?: number;
  /** Of each gateway, behind one port; 1 unless told. */
  processes?: number;
}

export async function startFleet(options: FleetOptions = {}): Promise<Fleet> {
  const { blindSeconds = 0, sharesSpool = false, replicas: count = 3, processes = 1 } = options;
  const scene = await openScene({ blindSeconds, sharesSpool });
  const replicas: Replica[] = [];
  try {
    const numbers = Array.from({ length: count }, (_, index) => index + 1);
    const keys = await all(
      numbers.map((n) => startKeysReplica(scene, `keys-${n}`)),
      replicas,
    );
    const gateways = await all(
      numbers.map((n) => startGatewayReplica(scene, `gateway-${n}`, { keys: keys[n - 1]!, processes })),
      replicas,
    );
    return fleetOf(scene, { keys, gateways, replicas });
  } catch (error) {
    await stopAll(scene, replicas);
    throw error;
  }
}

/** Those that start are noted also when one of the others does not: they have to be ended. */
async function all(starting: Promise<Replica>[], started: Replica[]): Promise<Replica[]> {
  const settled = await Promise.allSettled(starting);
  started.push(...settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : [])));
  return await Promise.all(starting);
}

function fleetOf(scene: Scene, parts: Pick<Fleet, "keys" | "gateways" | "replicas">): Fleet {
  const { replicas, keys } = parts;
  const call: Fleet["call"] = (replica, path, { body, by, method } = {}) =>
    fetch(`${replica.url}${path}`, {
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers: {
        authorization: `Bearer ${by ?? scene.issuer.token(scene.person, "pv-keys")}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const makeKey: Fleet["makeKey"] = async (body = {}, at = keys[0]!) => {
    const answer = await call(at, "/v1/keys", { body: { name: "fleet", ...body } });
    if (answer.status !== 201) throw new Error(`no key was made: ${answer.status} ${await answer.text()}`);
    const made = (await answer.json()) as CreatedKey;
    return { id: made.key.id, secret: made.secret, rev: made.key.rev };
  };
  const confirmer = openConfirmer(scene);
  const revoke: Fleet["revoke"] = async (id, { at = keys[0]! } = {}) => {
    const answer = await call(at, `/v1/keys/${id}/revoke?wait=1`, { body: {} });
    return await receiptOf(answer);
  };
  return {
    ...scene,
    ...parts,
    call,
    makeKey,
    confirm: confirmer.confirm,
    revoke,
    heal: async () => {
      scene.redis.resume();
      await Promise.all(replicas.map((replica) => mend(replica)));
      const probe = await waitFor(() => makeKey(), { timeoutMs: 20_000, what: "a key of a healed fleet" });
      await Promise.all(replicas.map((replica) => untilAccepted(replica, probe.secret)));
    },
    stop: async () => {
      confirmer.close();
      await stopAll(scene, replicas);
    },
  };
}

/** @throws when the change was not made, or when the status says another thing than the receipt */
async function receiptOf(answer: Response): Promise<Receipt> {
  if (answer.status !== 200 && answer.status !== 202) throw new Error(`${answer.status}: ${await answer.text()}`);
  const { receipt } = (await answer.json()) as { receipt: Receipt };
  if (receipt.confirmed !== (answer.status === 200)) throw new Error(`status ${answer.status} for ${JSON.stringify(receipt)}`);
  return receipt;
}

async function mend(replica: Replica): Promise<void> {
  for (const wire of Object.values(replica.wires)) {
    wire.state = "open";
    wire.delayMs = 0;
  }
  replica.resume();
  if (!replica.isRunning()) await replica.start();
}

/** New keys that every replica has in its cache. */
export async function knownEverywhere(fleet: Fleet, count: number, body?: object): Promise<IssuedKey[]> {
  const { makeKey, confirm, replicas } = fleet;
  // Connections that were cut or hung a moment ago may still have to be given up: who is told 503 asks again.
  const make = (): Promise<IssuedKey> => waitFor(() => makeKey(body), { timeoutMs: 20_000, intervalMs: 100, what: "a key" });
  const keys: IssuedKey[] = [];
  // Not all at once: they would wait for one another's revision longer than a busy machine lets them.
  while (keys.length < count) {
    const some = Math.min(20, count - keys.length);
    keys.push(...(await Promise.all(Array.from({ length: some }, make))));
  }
  // A replica that is told of the new key after it was asked forgets what it has just learnt.
  await confirm(Math.max(...keys.map(({ rev }) => rev)));
  for (const { secret } of keys) await Promise.all(replicas.map((replica) => untilAccepted(replica, secret)));
  return keys;
}

/** Waits until the replica accepts the key. */
export async function untilAccepted(replica: Replica, secret: string): Promise<void> {
  await waitFor(async () => (await replica.check(secret)) === "accepted", { timeoutMs: 20_000, what: `${replica.name}'s yes` });
}

async function stopAll(scene: Scene, replicas: readonly Replica[]): Promise<void> {
  await Promise.all(replicas.map((replica) => replica.kill()));
  await scene.close();
}
