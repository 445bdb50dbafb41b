import { Worker } from "node:worker_threads";
import { Problem } from "@nexus/core";
import type { Finding } from "./guide-index.ts";
import type { EmbeddedTexts } from "./load-embedder.ts";

export interface ThreadSettings {
  /** The folder that holds README.md and docs/. */
  rootDirectory: string;
  /** A question waits this long for the passages' vectors, then is answered by its words alone; they go on being made. */
  vectorPatienceMs?: number;
}

export type ThreadRequest =
  | { kind: "embed"; texts: readonly string[] }
  | { kind: "search"; question: string; before: string; limit: number };

export type ThreadAnswer =
  | { kind: "embedded"; value: EmbeddedTexts }
  | { kind: "found"; value: Finding[] }
  | { kind: "failed"; message: string };

export interface ModelThreadOptions extends ThreadSettings {
  /** Requests that may wait; one more is refused. */
  queueLimit?: number;
  /** A request that runs longer than this costs the thread its life: it hangs. */
  deadlineMs?: number;
  /** The thread ends, and its memory is free, after this time without a request. */
  idleMs?: number;
  /** Is shown every thread that starts: for tests that kill it. */
  onThread?: (thread: Worker) => void;
}

interface Job {
  request: ThreadRequest;
  signal: AbortSignal;
  resolve(answer: ThreadAnswer): void;
  reject(reason: unknown): void;
}

/** The thread's heap for JavaScript; the model's own memory (about 30 MB of weights) lies outside it. */
const heapLimitMb = 512;

function startModelThread(settings: ThreadSettings): Worker {
  return new Worker(new URL("run-model-thread.ts", import.meta.url), {
    name: "embedded-models",
    workerData: settings,
    // It needs neither the secrets of the environment nor the flags of the process.
    env: {},
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: heapLimitMb },
  });
}

/**
 * Owns the thread: starts it with the first request, hands it one request at a time, starts another when it dies.
 * Only the request that ran when it died fails; those that wait are served by its successor.
 */
export class ModelThread {
  readonly #options: Required<ModelThreadOptions>;
  readonly #waiting: Job[] = [];
  #running: Job | undefined;
  #worker: Worker | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** Threads that were told to end. */
  #ending: Promise<unknown> = Promise.resolve();

  constructor(options: ModelThreadOptions) {
    this.#options = {
      queueLimit: 64,
      deadlineMs: 20_000,
      idleMs: 300_000,
      vectorPatienceMs: 1_500,
      onThread: () => {},
      ...options,
    };
  }

  /** @throws Problem `unavailable` when the queue is full, the thread fails or it is closed; the signal's reason on abort */
  async embed(texts: readonly string[], signal: AbortSignal): Promise<EmbeddedTexts> {
    const answer = await this.#ask({ kind: "embed", texts }, signal);
    if (answer.kind === "embedded") return answer.value;
    throw unavailable("The embedded model failed", answer);
  }

  /** Same errors as `embed`. */
  async search(question: { text: string; before: string; limit: number }, signal: AbortSignal): Promise<Finding[]> {
    const { text, before, limit } = question;
    const answer = await this.#ask({ kind: "search", question: text, before, limit }, signal);
    if (answer.kind === "found") return answer.value;
    throw unavailable("The embedded guide failed", answer);
  }

  /** Ends the thread; what waits or runs is answered `unavailable`. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#drop("The embedded models are closing");
    for (const job of this.#waiting.splice(0)) job.reject(unavailable("The embedded models are closing"));
    await this.#ending;
  }

  async #ask(request: ThreadRequest, signal: AbortSignal): Promise<ThreadAnswer> {
    signal.throwIfAborted();
    if (this.#closed) throw unavailable("The embedded models are closing");
    if (this.#waiting.length >= this.#options.queueLimit) throw unavailable("The embedded models have too much to do");
    const { promise, resolve, reject } = Promise.withResolvers<ThreadAnswer>();
    const job: Job = { request, signal, resolve, reject };
    const onAbort = () => {
      const at = this.#waiting.indexOf(job);
      if (at !== -1) this.#waiting.splice(at, 1);
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    this.#waiting.push(job);
    this.#next();
    return promise.finally(() => signal.removeEventListener("abort", onAbort));
  }

  #next(): void {
    if (this.#running || this.#closed) return;
    clearTimeout(this.#timer);
    this.#running = this.#waiting.shift();
    const { deadlineMs, idleMs } = this.#options;
    if (!this.#running) {
      this.#timer = this.#worker && setTimeout(() => void this.#drop("idle"), idleMs).unref();
      return;
    }
    this.#worker ??= this.#start();
    this.#timer = setTimeout(() => void this.#drop("The embedded models took too long"), deadlineMs);
    this.#worker.postMessage(this.#running.request, []);
  }

  #start(): Worker {
    const { rootDirectory, vectorPatienceMs, onThread } = this.#options;
    const worker = startModelThread({ rootDirectory, vectorPatienceMs });
    onThread(worker);
    worker.on("message", (answer: ThreadAnswer) => {
      if (worker !== this.#worker) return;
      const job = this.#running;
      this.#running = undefined;
      job?.resolve(answer);
      // Whatever made it fail (a file that could not be read) may be gone for the next thread.
      if (answer.kind === "failed") void this.#drop("failed");
      else this.#next();
    });
    worker.on("error", (error) => void this.#drop("The embedded models' thread died", worker, error));
    worker.on("exit", () => void this.#drop("The embedded models' thread ended", worker));
    return worker;
  }

  /** Forgets the thread, ends it, fails what it was doing and goes on with the next request. */
  async #drop(why: string, worker = this.#worker, cause?: unknown): Promise<void> {
    if (!worker || worker !== this.#worker) return;
    clearTimeout(this.#timer);
    this.#worker = undefined;
    const job = this.#running;
    this.#running = undefined;
    job?.reject(unavailable(why, cause));
    this.#next();
    const ended = worker.terminate();
    this.#ending = Promise.all([this.#ending, ended]);
    await ended;
  }
}

function unavailable(detail: string, cause?: unknown): Problem {
  return new Problem("unavailable", detail, { cause, headers: { "retry-after": "1" } });
}
