/** The change feed has a partition for every month to come, and loses those that nobody needs. */
import type { Db } from "@nexus/db";
import type { Logger } from "@nexus/telemetry";
import { dropOldChanges, ensureMonthPartitions } from "./upkeep.store.ts";

const dayMs = 24 * 3600_000;

/** Now and once a day, in every process: of several at once one does it. */
export function startUpkeep({ db, logger }: { db: Db; logger: Logger }): { close(): Promise<void> } {
  let underWay = Promise.resolve();
  const run = (): void => {
    underWay = keepUp(db, logger).catch((error: unknown) => {
      logger.error({ err: error }, "the months of the change feed could not be kept up");
    });
  };
  run();
  const timer = setInterval(run, dayMs);
  timer.unref();
  return {
    close: async () => {
      clearInterval(timer);
      await underWay;
    },
  };
}

async function keepUp(db: Db, logger: Logger): Promise<void> {
  await ensureMonthPartitions(db);
  const dropped = await dropOldChanges(db);
  if (dropped > 0) logger.info({ event: "changes_dropped", months: dropped }, "old months of the change feed were dropped");
}
