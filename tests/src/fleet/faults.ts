/** Things that go wrong by lot, at any moment of a revocation, and end at another. */
import { setTimeout as delay } from "node:timers/promises";
import type { Fleet } from "./fleet.ts";
import type { Replica } from "./replica.ts";
import type { Relay } from "./wires.ts";

/** What happened to whom, for the report of a test that fails. */
export interface Fault {
  to: string;
  what: string;
  /** Milliseconds from the beginning of the round. */
  fromMs: number;
  forMs: number;
}

interface Trouble {
  what: string;
  begin(): unknown;
  end(): unknown;
}

const latestStartMs = 700;
const longestMs = 2600;

/**
 * Lets something happen to every replica but `spared`, and now and then to Redis itself. Resolves when all of it is over.
 */
export async function causeTrouble(fleet: Fleet, spared: Replica, seen: Fault[]): Promise<void> {
  const beganAt = performance.now();
  const suffer = async (to: string, { what, begin, end }: Trouble): Promise<void> => {
    // Short ones, and more of those that outlast a lease.
    const forMs = 20 + Math.sqrt(Math.random()) * longestMs;
    await delay(Math.random() * latestStartMs);
    seen.push({ to, what, fromMs: Math.round(performance.now() - beganAt), forMs: Math.round(forMs) });
    await begin();
    await delay(forMs);
    await end();
  };
  const ofReplicas = fleet.replicas.filter((replica) => replica !== spared && Math.random() < 0.75);
  await Promise.all([
    ...ofReplicas.map((replica) => suffer(replica.name, anyOf(troublesOf(replica)))),
    ...(Math.random() < 0.3 ? [suffer("Redis", anyOf(troublesOfRedis(fleet)))] : []),
  ]);
}

function troublesOf(replica: Replica): Trouble[] {
  const pause = (): void => replica.pause();
  const resume = (): void => replica.resume();
  const wires = Object.entries(replica.wires) as [string, Relay][];
  const news = wires.filter(([name]) => name !== "keys");
  return [
    { what: "paused", begin: pause, end: resume },
    { what: "paused", begin: pause, end: resume },
    { what: "killed", begin: () => replica.kill(), end: () => replica.start() },
    // Nothing tells it of a change, and its callers still reach it: the hardest case, so it comes up the most.
    ...(["cut", "hung"] as const).flatMap((state) => [
      { what: `all wires ${state}`, begin: () => setWires(wires, state), end: () => setWires(wires, "open") },
      { what: `news ${state}`, begin: () => setWires(news, state), end: () => setWires(news, "open") },
      { what: `news ${state}`, begin: () => setWires(news, state), end: () => setWires(news, "open") },
    ]),
    ...wires.flatMap(([name, wire]) => troublesOfWire(name, wire)),
  ];
}

function troublesOfWire(name: string, wire: Relay): Trouble[] {
  const turn = (state: Relay["state"]) => (): void => void (wire.state = state);
  const slow = (delayMs: number) => (): void => void (wire.delayMs = delayMs);
  return [
    { what: `${name} cut`, begin: turn("cut"), end: turn("open") },
    { what: `${name} hung`, begin: turn("hung"), end: turn("open") },
    { what: `${name} slow`, begin: slow(Math.random() * 400), end: slow(0) },
  ];
}

function troublesOfRedis({ redis }: Fleet): Trouble[] {
  return [
    { what: "stopped", begin: () => redis.pause(), end: () => redis.resume() },
    { what: "flushed", begin: () => redis.flush(), end: () => redis.flush() },
  ];
}

function setWires(wires: readonly [string, Relay][], state: Relay["state"]): void {
  for (const [, wire] of wires) wire.state = state;
}

function anyOf<T>(list: readonly T[]): T {
  return list[Math.floor(Math.random() * list.length)]!;
}
