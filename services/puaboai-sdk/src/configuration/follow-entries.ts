/** Keeps a process's configuration with what is set by API, whoever set it. */
import { setTimeout as delay } from "node:timers/promises";
import type { Db } from "@nexus/db";
import type { Verifier } from "@nexus/key-check";
import type { Logger } from "@nexus/telemetry";
import { fileSubject, listEntries } from "./entries.store.ts";
import type { LiveConfiguration } from "./live-configuration.ts";

interface FollowEntries {
  configuration: Pick<LiveConfiguration, "takeEntries" | "reloadFile">;
  db: Db;
  feed: Pick<Verifier["feed"], "onChange" | "onReset">;
  logger: Pick<Logger, "warn">;
}

export interface EntryFollower {
  /** Reads them; resolves when they are in force, or after two seconds: then the file's part serves until PostgreSQL answers. */
  start(): Promise<void>;
  close(): Promise<void>;
}

const longestStartMs = 2000;
const longestPauseMs = 10_000;

/** The feed's listeners only mark: reading takes its time elsewhere, and acknowledgements do not wait for it. */
export function followEntries({ configuration, db, feed, logger }: FollowEntries): EntryFollower {
  const closing = new AbortController();
  let wanted = false;
  let reading: Promise<void> | undefined;

  async function read(): Promise<void> {
    for (let failures = 0; wanted && !closing.signal.aborted;) {
      wanted = false;
      try {
        await configuration.takeEntries(() => listEntries(db));
        failures = 0;
      } catch (error) {
        if (failures++ === 0)
          logger.warn({ event: "configuration", err: error }, "what is set by API could not be read; trying again");
        wanted = true;
        const ceiling = Math.min(longestPauseMs, 250 * 2 ** Math.min(failures, 8));
        await delay(ceiling * (0.5 + Math.random() / 2), undefined, { signal: closing.signal }).catch(() => {});
      }
    }
  }
  function refresh(): Promise<void> {
    wanted = true;
    reading ??= read().finally(() => {
      reading = undefined;
      if (wanted && !closing.signal.aborted) void refresh();
    });
    return reading;
  }
  feed.onReset(() => void refresh());
  feed.onChange(({ kind, subjectId }) => {
    if (kind !== "gateway_settings") return;
    if (subjectId === fileSubject) void configuration.reloadFile();
    else void refresh();
  });
  return {
    start: async () => {
      const giveUp = new AbortController();
      await Promise.race([refresh(), delay(longestStartMs, undefined, { signal: giveUp.signal }).catch(() => {})]);
      giveUp.abort();
    },
    close: async () => {
      closing.abort();
      await reading;
    },
  };
}
