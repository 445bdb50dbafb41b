import type { Db } from "@nexus/db";
import type { Logger } from "@nexus/telemetry";
import { ensureMonthPartitions } from "./modules/modules.store.ts";

const dayMs = 24 * 3600_000;

/** Makes the partitions of the coming months, now and once a day; the insert of a month without one would fail. */
export function startUpkeep(needs: { db: Db; logger: Logger }): { close(): Promise<void> } {
  let underWay = Promise.resolve();
  const run = (): void => {
    underWay = ensureMonthPartitions(needs.db).catch((error: unknown) => {
      needs.logger.error({ err: error }, "the partitions of the coming months could not be made");
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
