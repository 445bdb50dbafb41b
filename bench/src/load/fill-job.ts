import type { Connection } from "@nexus/db";

export interface FillJob {
  connection: Connection;
  keys: number;
}

export interface FillReport {
  /** What the process grew by, after a garbage collection on either side. */
  rssBytes: number;
  heapBytes: number;
}
