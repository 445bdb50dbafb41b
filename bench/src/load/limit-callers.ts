/** One replica of a service that keeps the limits of keys, as a process of its own. Asks when it is told to start. */
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "@nexus/core";
import type { Db } from "@nexus/db";
import { openKeyLimits } from "@nexus/limits";
import { type Cache, openRedis } from "@nexus/redis";
import type { LimitJob, LimitReport } from "./limit-job.ts";

const now = (): number => Number(process.hrtime.bigint()) / 1e6;

process.on("message", (job: LimitJob | "start") => {
  if (job === "start") return;
  work(job).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => process.exit(0));

async function work(job: LimitJob): Promise<LimitReport> {
  // The deadline is not the subject, and the machine is busy.
  const cache = openRedis({ url: job.redisUrl }, { commandTimeoutMs: 5000 });
  await cache.waitUntilReady(10_000);
  let redisCalls = 0;
  const counted = Object.create(cache, {
    call: { value: (...args: Parameters<Cache["call"]>) => ((redisCalls += 1), cache.call(...args)) },
  }) as Cache;
  const { callers, key, replicas, seconds } = job;
  // No key here has a quota: nothing asks PostgreSQL.
  const limits = openKeyLimits({
    cache: counted,
    db: {} as Db,
    clock: systemClock,
    processId: crypto.randomUUID(),
    replicas: () => replicas,
  });
  const started = new Promise((resolve) => void process.once("message", resolve));
  process.send?.("ready");
  await started;
  const [cpuBefore, startedAt, admittedAt] = [process.cpuUsage(), now(), [] as number[]];
  let asked = 0;
  const call = async (): Promise<void> => {
    while (now() - startedAt < seconds * 1000) {
      asked += 1;
      const answer = limits.admit(key);
      const { admitted } = answer instanceof Promise ? await answer : answer;
      if (admitted) admittedAt.push(now());
      // As a request that comes in: in a turn of its own.
      await (admitted ? new Promise((resolve) => setImmediate(resolve)) : delay(1));
    }
  };
  await Promise.all(Array.from({ length: callers }, call));
  const { user, system } = process.cpuUsage(cpuBefore);
  await limits.close();
  await cache.close();
  return { startedAt, admittedAt, asked, redisCalls, cpuMicros: user + system };
}
