/**
 * Several processes of a service behind its two ports (node:cluster), for machines with more cores than one process can use. The
 * first process answers nobody: it starts the others, starts again what ends, and passes on what it is told. Each of the others is
 * a whole service, to the rest of the platform a replica like any other.
 */
import cluster, { type Worker } from "node:cluster";
import { once } from "node:events";
import { createServer } from "node:net";
import { answerForAll, type Logger } from "@nexus/telemetry";

/** This process was not started by another of its service. */
export const isFirst = (): boolean => cluster.isPrimary;

/**
 * Each listens for itself and the kernel shares the connections out (SO_REUSEPORT; Linux 3.9, FreeBSD 12). Handed out by the first
 * process, as node:cluster does by itself, one that was on its way to a process that dies would be answered by nobody, for ever.
 */
export const sharedPort = (): { reusePort: true; exclusive: true } | undefined =>
  cluster.isWorker ? { reusePort: true, exclusive: true } : undefined;

/** A port that is shared would be shared with another service too: so the first that listens looks before. @throws EADDRINUSE */
export async function refuseForeignPort(host: string, port: number): Promise<void> {
  if (cluster.worker?.id !== 1) return;
  const probe = createServer();
  probe.listen({ host, port, exclusive: true });
  await once(probe, "listening");
  probe.close();
  await once(probe, "close");
}

/** Between the processes of a service. */
interface Word {
  nexus: "stop" | "reload" | "started";
}

interface SeveralOptions {
  process: NodeJS.Process;
  logger: Logger;
  count: number;
  /** After this a process that was told to end is killed. */
  stopDeadlineMs: number;
  exit: (code: number) => Promise<void>;
}

const firstPauseMs = 500;
const longestPauseMs = 30_000;
/** Who served so long did not fail at its start. */
const settledMs = 60_000;

/** The others start when the first of them serves: what keeps a service from starting is told once, and ends it as it would alone. */
export function runSeveral(options: SeveralOptions): void {
  const { process, logger, count } = options;
  let stopping = false;
  let begun = false;
  let pauseMs = firstPauseMs;
  let code = 0;
  answerForAll();

  const start = (): void => {
    if (stopping) return;
    const worker = cluster.fork();
    const startedAt = performance.now();
    worker.on("message", (word: unknown) => {
      if (!isWord(word) || word.nexus !== "started" || begun) return;
      begun = true;
      for (let more = 1; more < count; more++) start();
    });
    worker.once("exit", (status, signal) => ended({ worker, status, signal, lastedMs: performance.now() - startedAt }));
  };

  function ended(end: { worker: Worker; status: number | null; signal: string | null; lastedMs: number }): void {
    if (!begun || stopping) {
      if (end.status !== 0) code = end.status ?? 1;
      if (living().length === 0) void options.exit(code);
      return;
    }
    if (end.lastedMs >= settledMs) pauseMs = firstPauseMs;
    const fields = {
      event: "process_ended",
      pid: end.worker.process.pid,
      status: end.status,
      signal: end.signal,
      pause_ms: pauseMs,
    };
    logger.error(fields, "a process of this service ended; another takes its place");
    setTimeout(start, pauseMs);
    pauseMs = Math.min(pauseMs * 2, longestPauseMs);
  }

  const stop = (): void => {
    const left = living();
    // Whoever asks twice does not want to wait.
    if (stopping || left.length === 0) return endAll(left, options);
    stopping = true;
    tell(left, "stop");
    setTimeout(() => endAll(living(), options), options.stopDeadlineMs);
  };
  for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, stop);
  process.on("SIGHUP", () => tell(living(), "reload"));
  start();
}

function endAll(workers: readonly Worker[], { exit }: SeveralOptions): void {
  for (const worker of workers) worker.process.kill("SIGKILL");
  void exit(1);
}

function living(): Worker[] {
  return Object.values(cluster.workers ?? {}).filter((worker): worker is Worker => worker?.isDead() === false);
}

function tell(workers: readonly Worker[], nexus: Word["nexus"]): void {
  for (const worker of workers) if (worker.isConnected()) worker.send({ nexus } satisfies Word);
}

interface Told {
  stop: () => void;
  reload: () => void;
  /** The process that started this one is gone. */
  orphaned: () => void;
}

/** One of several: it is told what to do by the first, and says when it serves. `undefined` in a process that is alone. */
export function hearFirst(told: Told): { started(): void } | undefined {
  const { worker } = cluster;
  if (!worker) return undefined;
  worker.on("message", (word: unknown) => {
    if (!isWord(word)) return;
    if (word.nexus === "stop") told.stop();
    if (word.nexus === "reload") told.reload();
  });
  worker.on("disconnect", told.orphaned);
  return { started: () => tell([worker], "started") };
}

function isWord(message: unknown): message is Word {
  return typeof message === "object" && message !== null && "nexus" in message;
}
