/** Keeps a process's configuration with what is set by API, whoever set it. */
import type { Db } from "@nexus/db";
import type { Verifier } from "@nexus/key-check";
import type { Logger } from "@nexus/telemetry";
import { atMost } from "../refresh/at-most.ts";
import { Refresher } from "../refresh/refresher.ts";
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
const pause = { shortestMs: 500, longestMs: 10_000 };

export function followEntries({ configuration, db, feed, logger }: FollowEntries): EntryFollower {
  const refresher = new Refresher({
    read: () => configuration.takeEntries(() => listEntries(db)),
    onFailure: (err) => logger.warn({ event: "configuration", err }, "what is set by API could not be read; trying again"),
    pause,
  });
  feed.onReset(() => void refresher.refresh());
  feed.onChange(({ kind, subjectId }) => {
    if (kind !== "gateway_settings") return;
    if (subjectId === fileSubject) void configuration.reloadFile();
    else void refresher.refresh();
  });
  return {
    start: () => atMost(longestStartMs, refresher.refresh()),
    close: () => refresher.close(),
  };
}
