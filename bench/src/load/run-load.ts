import { connect, type Socket } from "node:net";
import { answerReader } from "./answer-reader.ts";
import type { LoadJob, LoadReport } from "./load-job.ts";

interface Counts {
  latencies: number[];
  firstBytes: number[];
  reads: number[];
  errors: number;
  /** Requests that may still be sent. */
  left: number;
}

/** Keeps `connections` requests under way, or sends as many as fall due, until the time is over. */
export async function runLoad(job: LoadJob): Promise<LoadReport> {
  const counts: Counts = { latencies: [], firstBytes: [], reads: [], errors: 0, left: job.requests ?? Infinity };
  const start = performance.now();
  const until = start + job.durationMs;
  const connections = Array.from({ length: job.connections }, (_, index) => {
    const pace =
      job.dueEachSecond === undefined ? undefined : { firstAt: start, everyMs: (job.connections / job.dueEachSecond) * 1000 };
    if (pace) pace.firstAt += (pace.everyMs * index) / job.connections;
    return runConnection(job, counts, { until, pace });
  });
  await Promise.all(connections);
  const durationMs = performance.now() - start;
  return {
    requests: counts.latencies.length,
    errors: counts.errors,
    durationMs,
    p50Ms: quantile(counts.latencies, 0.5),
    p99Ms: quantile(counts.latencies, 0.99),
    firstByteP50Ms: quantile(counts.firstBytes, 0.5),
    readsPerAnswer: quantile(counts.reads, 0.5),
  };
}

interface Times {
  until: number;
  /** When the requests of this connection fall due; without it: as soon as the last is answered. */
  pace: { firstAt: number; everyMs: number } | undefined;
}

function runConnection(job: LoadJob, counts: Counts, { until, pace }: Times): Promise<void> {
  const { hostname, port } = new URL(job.url);
  const request = requestBytes(job);
  return new Promise((resolve) => {
    let sentAt = 0;
    let dueAt = pace?.firstAt ?? 0;
    const socket: Socket = connect({ host: hostname, port: Number(port), noDelay: true });
    const send = (): void => {
      if (performance.now() >= until || counts.left <= 0) {
        socket.end();
        return;
      }
      counts.left--;
      sentAt = performance.now();
      socket.write(request);
    };
    /** A request that an answer keeps from its time waits from that time on: a slow server does not choose when it is asked. */
    const sendWhenDue = (): void => {
      if (!pace) return send();
      const due = dueAt;
      dueAt += pace.everyMs;
      const wait = due - performance.now();
      if (wait > 0) return void setTimeout(send, wait);
      send();
      sentAt = due;
    };
    const reader = answerReader({
      onBody: () => counts.firstBytes.push(performance.now() - sentAt),
      onAnswer: (status, reads) => {
        counts.latencies.push(performance.now() - sentAt);
        counts.reads.push(reads);
        if (status !== 200) counts.errors++;
        sendWhenDue();
      },
    });
    socket.on("connect", sendWhenDue);
    socket.on("data", (chunk: Buffer) => reader.push(chunk));
    socket.on("error", () => counts.errors++);
    socket.on("close", () => resolve());
  });
}

function requestBytes(job: LoadJob): Buffer {
  const { host, pathname } = new URL(job.url);
  const headers = { host, ...job.headers, "content-length": String(Buffer.byteLength(job.body)) };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`POST ${pathname} HTTP/1.1\r\n${lines.join("")}\r\n${job.body}`);
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
