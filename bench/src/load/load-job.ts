export interface LoadJob {
  url: string;
  headers: Record<string, string>;
  body: string;
  connections: number;
  /** Requests that fall due each second, all connections together; without it each sends its next when its last is answered. */
  dueEachSecond?: number;
  /** At most so long. */
  durationMs: number;
  /** At most so many; without it only the time ends it. */
  requests?: number;
}

export interface LoadReport {
  requests: number;
  /** Answers that were not 200, and connections that broke. */
  errors: number;
  durationMs: number;
  p50Ms: number;
  p99Ms: number;
  /** Until the first byte of the body. */
  firstByteP50Ms: number;
  /** How many reads an answer came in, in the middle. */
  readsPerAnswer: number;
}
