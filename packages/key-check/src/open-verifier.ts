/** A process that decides about callers: its place in the change feed and its checker, opened and closed together. */
import { hostname } from "node:os";
import { type ChangeFeed, type EndedSessions, openChangeFeed, openEndedSessions } from "@nexus/change-feed";
import type { Clock } from "@nexus/core";
import { type Connection, type Db, openDatabase } from "@nexus/db";
import type { Cache, RedisTarget } from "@nexus/redis";
import { type Freezes, openFreezes } from "./freezes.ts";
import type { KeySource } from "./key-source.ts";
import { openKeyUses } from "./key-uses.ts";
import { listKeyFormats } from "./keys.store.ts";
import { type KeyChecker, openKeyChecker } from "./open-key-checker.ts";

export interface Verifier {
  feed: ChangeFeed;
  checker: KeyChecker;
  freezes: Freezes;
  /** Of persons: their tokens outlive their sessions by minutes. */
  endedSessions: EndedSessions;
  /** Begins to follow the feed; listeners are added before. Resolves when it has its lease, or after the first attempt that failed. */
  start(): Promise<void>;
  close(): Promise<void>;
}

interface Options {
  connection: Connection;
  /** The service's own pool, for what may wait. */
  db: Db;
  redis: { cache: Cache; target: RedisTarget } | undefined;
  source: KeySource;
  clock: Clock;
  logger: { info(fields: object, message: string): void; warn(fields: object, message: string): void };
  service: string;
  /** The published port, which tells processes of one host apart. */
  port: number;
  blindSeconds: number;
  /** Most keys kept; 50,000 unless told. */
  maxEntries?: number;
}

export function openVerifier(options: Options): Verifier {
  const { service, logger, clock } = options;
  // A connection of its own, with deadlines below the lease's: a busy pool must not make the process blind.
  const database = openDatabase(options.connection, {
    applicationName: `${service} change feed`,
    poolSize: 1,
    statementTimeoutMs: 900,
    connectTimeoutMs: 900,
    onError: (error) => logger.warn({ err: error }, "the connection of the change feed broke"),
  });
  const feed = openChangeFeed({ ...options, database, node: `${hostname()}:${options.port}` });
  const freezes = openFreezes(feed, database.db);
  const endedSessions = openEndedSessions(feed, { ofFeed: database.db, ofService: options.db });
  const loadFormats = () => listKeyFormats(database.db);
  const uses = openKeyUses({ db: options.db, clock, service, now: () => feed.lease.now(), logger });
  const checker = openKeyChecker({ ...options, feed, freezes, uses, loadFormats });
  return {
    feed,
    checker,
    freezes,
    endedSessions,
    start: () => feed.start(),
    close: async () => {
      await uses.close();
      await feed.close();
      await checker.close();
    },
  };
}
