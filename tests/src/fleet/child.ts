/** A service as it is deployed: its own process, which can be paused, killed, started again, and told another time. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { waitFor } from "@nexus/testing";
import { isFree } from "../platform.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const shiftClock = fileURLToPath(new URL("shift-clock.ts", import.meta.url));

export interface ServiceProcess {
  readonly port: number;
  readonly internalPort: number;
  readonly pid: number;
  isRunning(): boolean;
  /** SIGSTOP: the process stands still, its sockets stay. */
  pause(): void;
  resume(): void;
  /** SIGTERM, and waits for its end. @returns the exit code */
  stop(): Promise<number | null>;
  /** SIGKILL, and waits for its end. */
  kill(): Promise<void>;
  /** On the same ports; resolves when it is ready, or at once with `untilReady: false`. */
  start(options?: { untilReady?: boolean }): Promise<void>;
  /** Sets its wall clock off by so many milliseconds; resolves when the process sees it. */
  stepClock(offsetMs: number): Promise<void>;
  /** The end of what it printed. */
  output(): string;
}

interface Program {
  service: "pv-keys" | "puaboai-sdk";
  /** Folder of this process's own. */
  directory: string;
  environment(ports: { port: number; internalPort: number }): Record<string, string>;
}

/** Every process that was started and has not ended: none outlives the run, however that ends. */
const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

const startWithinMs = 30_000;
/** Between finding a free port and taking it another process may take it. */
const attempts = 3;

export async function startServiceProcess(program: Program): Promise<ServiceProcess> {
  for (let attempt = 1; ; attempt++) {
    const service = new Service(program, await freePort(), await freePort());
    try {
      await service.start();
      return service;
    } catch (error) {
      await service.kill();
      if (attempt >= attempts || !/EADDRINUSE|is taken by another process/.test(service.output())) throw error;
    }
  }
}

class Service implements ServiceProcess {
  readonly port: number;
  readonly internalPort: number;
  readonly #program: Program;
  readonly #clockFile: string;
  #child: ChildProcess | undefined;
  #output = "";

  constructor(program: Program, port: number, internalPort: number) {
    this.port = port;
    this.internalPort = internalPort;
    this.#program = program;
    this.#clockFile = join(program.directory, "clock");
    writeFileSync(this.#clockFile, "0");
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  isRunning(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  pause(): void {
    this.#child?.kill("SIGSTOP");
  }

  resume(): void {
    this.#child?.kill("SIGCONT");
  }

  async stop(): Promise<number | null> {
    if (!this.#child || !this.isRunning()) throw new Error("it does not run");
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    return ((await exited) as [number | null])[0];
  }

  async kill(): Promise<void> {
    if (!this.#child || !this.isRunning()) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }

  async start({ untilReady = true } = {}): Promise<void> {
    const { service, environment } = this.#program;
    const child = spawn(process.execPath, ["--import", shiftClock, `services/${service}/src/main.ts`], {
      cwd: root,
      env: { PATH: process.env["PATH"] ?? "", FLEET_CLOCK_FILE: this.#clockFile, ...environment(this) },
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(child);
    child.once("exit", () => running.delete(child));
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => (this.#output = (this.#output + chunk.toString()).slice(-100_000)));
    }
    this.#child = child;
    if (untilReady) await this.#untilReady(child);
  }

  async stepClock(offsetMs: number): Promise<void> {
    writeFileSync(this.#clockFile, String(offsetMs));
    await waitFor(() => readFileSync(`${this.#clockFile}.seen`, "utf8") === String(offsetMs), { what: "a stepped clock" });
  }

  output(): string {
    return this.#output;
  }

  async #untilReady(child: ChildProcess): Promise<void> {
    const isUp = async (): Promise<boolean | "ended"> => {
      if (child.exitCode !== null || child.signalCode !== null) return "ended";
      return (await fetch(`http://127.0.0.1:${this.port}/readyz`, { signal: AbortSignal.timeout(2000) })).status === 200;
    };
    const how = await waitFor(isUp, { timeoutMs: startWithinMs, intervalMs: 50, what: this.#program.service });
    if (how === "ended") throw new Error(`${this.#program.service} ended instead of starting:\n${this.#output}`);
  }
}

/** What was drawn once is not drawn again: a port stays free until the process that it is meant for has taken it. */
const drawn = new Set<number>();

/** Below what the system gives to outgoing connections, beside the ports of the journeys, and none that fetch refuses. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 7000 + Math.floor(Math.random() * 3000);
    if (drawn.has(port)) continue;
    drawn.add(port);
    if (await isFree(port)) return port;
  }
}
