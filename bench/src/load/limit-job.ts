import type { LimitedKey } from "@nexus/limits";

/** What one replica does: so many callers that ask as fast as they are answered. */
export interface LimitJob {
  redisUrl: string;
  key: LimitedKey;
  callers: number;
  /** Processes that do the same, this one included. */
  replicas: number;
  seconds: number;
}

export interface LimitReport {
  /** Of the machine's monotonic clock, ms. */
  startedAt: number;
  /** When each admitted call was, by the same clock. */
  admittedAt: number[];
  asked: number;
  redisCalls: number;
  cpuMicros: number;
}
