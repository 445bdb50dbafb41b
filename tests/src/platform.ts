/** Starts the whole platform as an operator does, in a process of its own, and talks to it over HTTP only. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { waitFor } from "@nexus/testing";

const root = fileURLToPath(new URL("../..", import.meta.url));

export interface Ports {
  api: number;
  ai: number;
  keys: number;
}

export interface PlatformProcess {
  ports: Ports;
  urls: { api: string; ai: string; keys: string };
  dataDirectory: string;
  pid: number;
  /** All that it has printed so far, both streams. */
  output(): string;
  /** The one-time link, once it has been printed. */
  setupUrl(): string | undefined;
  signal(name: NodeJS.Signals): void;
  /** Resolves with the exit code, or the signal's name. */
  exited: Promise<number | NodeJS.Signals>;
}

interface Options {
  ports?: Ports;
  dataDirectory?: string;
  env?: Record<string, string>;
  /** `npm start` instead of the script behind it. */
  throughNpm?: boolean;
}

/**
 * Three free ports whose private neighbours, 10,000 above, are free too. All below 32,768: the system gives ports from there
 * up to outgoing connections, and one of those could take a port between this look and the start.
 */
export async function freePorts(): Promise<Ports> {
  const found: number[] = [];
  while (found.length < 3) {
    const port = 12_000 + Math.floor(Math.random() * 10_000);
    if (!found.includes(port) && (await isFree(port)) && (await isFree(port + 10_000))) found.push(port);
  }
  return { api: found[0]!, ai: found[1]!, keys: found[2]! };
}

/** Whether nothing listens there. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
      .once("error", () => resolve(false))
      .listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}

/** A folder that PostgreSQL's own user may pass through, so that as root too the data stays inside and goes with it. */
function openFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "nexus-journey-"));
  chmodSync(folder, 0o755);
  return folder;
}

/** Starts it without waiting: for tests of what happens when it cannot start. */
export async function launchPlatform(options: Options = {}): Promise<PlatformProcess> {
  const ports = options.ports ?? (await freePorts());
  const dataDirectory = options.dataDirectory ?? openFolder();
  const [command, ...parameters] = options.throughNpm ? ["npm", "start"] : [process.execPath, "services/all-in-one/src/main.ts"];
  const child = spawn(command, parameters, {
    cwd: root,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      HOME: process.env["HOME"],
      NEXUS_PUABO_API_PORT: String(ports.api),
      NEXUS_PUABOAI_SDK_PORT: String(ports.ai),
      NEXUS_PV_KEYS_PORT: String(ports.keys),
      NEXUS_DATA_DIR: dataDirectory,
      ...options.env,
    },
  });
  return describe(child, ports, dataDirectory);
}

function describe(child: ChildProcess, ports: Ports, dataDirectory: string): PlatformProcess {
  let output = "";
  child.stdout!.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr!.on("data", (chunk: Buffer) => (output += chunk.toString()));
  return {
    ports,
    dataDirectory,
    urls: { api: `http://localhost:${ports.api}`, ai: `http://localhost:${ports.ai}`, keys: `http://localhost:${ports.keys}` },
    pid: child.pid!,
    output: () => output,
    setupUrl: () => /http:\/\/\S+\/setup\?code=\S+/.exec(output)?.[0],
    signal: (name) => void child.kill(name),
    exited: new Promise((resolve) => child.once("exit", (code, signal) => resolve(code ?? signal!))),
  };
}

/** Starts it and waits until all three services are ready. */
export async function startPlatform(options: Options = {}): Promise<PlatformProcess> {
  const platform = await launchPlatform(options);
  let ended: number | NodeJS.Signals | undefined;
  void platform.exited.then((how) => (ended = how));
  const isUp = async (): Promise<boolean> => {
    if (ended !== undefined) throw new Error(`it ended (${ended}) instead of starting`);
    return (await Promise.all(Object.values(platform.urls).map((url) => isReady(url)))).every(Boolean);
  };
  try {
    await waitFor(isUp, { timeoutMs: 25_000 });
  } catch (cause) {
    platform.signal("SIGTERM");
    throw new Error(`the platform did not come up; it printed:\n${platform.output()}`, { cause });
  }
  return platform;
}

/** Stops it as an operator does and removes its data. */
export async function stopPlatform(platform: PlatformProcess): Promise<void> {
  platform.signal("SIGTERM");
  await platform.exited;
  rmSync(platform.dataDirectory, { recursive: true, force: true });
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2000) })).ok;
  } catch {
    return false;
  }
}
