/** Many streams at once, in a process of its own, which looks at every single frame. */
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { cpuMicrosOf, rssBytesOf } from "../process-cpu.ts";
import { sharedMicros, stampReader } from "./frame-stamp.ts";
import type { StreamJob, StreamReport } from "./stream-job.ts";

interface Counts {
  counting: boolean;
  delaysMicros: number[];
  merged: number;
  misplaced: number;
  broken: number;
}

process.on("message", (job: StreamJob) => {
  runStreams(job).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => process.exit(0));

async function runStreams(job: StreamJob): Promise<StreamReport> {
  const counts: Counts = { counting: false, delaysMicros: [], merged: 0, misplaced: 0, broken: 0 };
  const ended: Promise<void>[] = [];
  const startedAt = performance.now();
  for (let opened = 0; opened < job.streams;) {
    const due = Math.min(job.streams, Math.ceil(((performance.now() - startedAt) / job.openMs) * job.streams));
    for (; opened < due; opened++) ended.push(openStream(job, counts));
    await delay(5);
  }
  const cpuBefore = cpuMicrosOf(job.pid);
  const windowStart = performance.now();
  counts.counting = true;
  await delay(job.windowMs);
  counts.counting = false;
  const windowMs = performance.now() - windowStart;
  const cpuMicros = cpuMicrosOf(job.pid) - cpuBefore;
  const rssBytes = rssBytesOf(job.pid);
  await Promise.all(ended);
  const delays = Float64Array.from(counts.delaysMicros).toSorted();
  const quantileMs = (share: number): number =>
    (delays[Math.min(delays.length - 1, Math.floor(delays.length * share))] ?? 0) / 1000;
  return {
    frames: delays.length,
    windowMs,
    delayP50Ms: quantileMs(0.5),
    delayP99Ms: quantileMs(0.99),
    delayMaxMs: quantileMs(1),
    merged: counts.merged,
    misplaced: counts.misplaced,
    broken: counts.broken,
    cpuMicros,
    rssBytes,
  };
}

/** Resolves when the stream has ended, as it should or not. */
function openStream(job: StreamJob, counts: Counts): Promise<void> {
  const { hostname, port } = new URL(job.url);
  const wanted = Number(/"max_tokens":(\d+)/.exec(job.body)?.[1]);
  return new Promise((resolve) => {
    let next = 0;
    let readAt = 0;
    let whole = false;
    const reader = stampReader((number, writtenAt) => {
      if (number !== next) counts.misplaced++;
      next = number + 1;
      if (counts.counting) counts.delaysMicros.push(readAt - writtenAt);
    });
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    socket.once("connect", () => socket.write(requestBytes(job)));
    socket.on("data", (chunk: Buffer) => {
      readAt = sharedMicros();
      const frames = reader.push(chunk);
      if (counts.counting && frames > 1) counts.merged += frames - 1;
      if (next < wanted || !chunk.includes("[DONE]")) return;
      whole = true;
      socket.end();
    });
    socket.on("error", () => {});
    socket.once("close", () => {
      if (!whole) counts.broken++;
      resolve();
    });
  });
}

function requestBytes(job: StreamJob): Buffer {
  const { host, pathname } = new URL(job.url);
  const headers = { host, ...job.headers, "content-length": String(Buffer.byteLength(job.body)) };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`POST ${pathname} HTTP/1.1\r\n${lines.join("")}\r\n${job.body}`);
}
