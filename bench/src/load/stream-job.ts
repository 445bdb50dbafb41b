export interface StreamJob {
  url: string;
  headers: Record<string, string>;
  /** The upstream's answer lasts as long as this asks for. */
  body: string;
  streams: number;
  /** They are opened evenly over this time. */
  openMs: number;
  /** What is counted, once all are open. */
  windowMs: number;
  /** Whose CPU is counted, over the same time. */
  pid: number;
}

export interface StreamReport {
  /** In the window. */
  frames: number;
  windowMs: number;
  /** From the upstream's write until the frame is read here. */
  delayP50Ms: number;
  delayP99Ms: number;
  delayMaxMs: number;
  /** Frames that came in one read with the frame before. */
  merged: number;
  /** Frames that came out of order, doubled or not at all, of all streams from their beginning to their end. */
  misplaced: number;
  /** Streams that did not end as they should. */
  broken: number;
  cpuMicros: number;
  rssBytes: number;
}
