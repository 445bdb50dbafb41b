import { type ChildProcess, fork, spawn, type SpawnOptions } from "node:child_process";
import { once } from "node:events";
import { waitFor } from "@nexus/testing";

export interface Child {
  process: ChildProcess;
  pid: number;
  stop(): Promise<void>;
}

const root = new URL("../../../", import.meta.url).pathname;

/** A program of this folder, talked to over IPC. */
export function forkProgram(file: string, args: readonly string[] = []): Child {
  return childOf(fork(file, args, { cwd: root, stdio: ["ignore", "inherit", "inherit", "ipc"] }));
}

/** A bare server of this folder; it says on which port it listens. */
export async function forkServer(file: string, args: readonly string[] = []): Promise<Child & { url: string }> {
  const child = forkProgram(file, args);
  const [message] = (await once(child.process, "message")) as [{ port: number }];
  return { ...child, url: `http://127.0.0.1:${message.port}` };
}

/** A service as it is deployed: its own `main.ts`, its settings from the environment, its log to nowhere. */
export async function startService(name: string, port: number, env: Record<string, string>): Promise<Child> {
  return await untilReady(launchService(name, port, env), `http://127.0.0.1:${port}/readyz`, name);
}

/** The same, without waiting until it answers. */
export function launchService(name: string, port: number, env: Record<string, string>): Child {
  return spawnNode([`services/${name}/src/main.ts`], { ...env, PORT: String(port) });
}

/** A program on this very Node, its output to nowhere. */
export function spawnNode(args: readonly string[], env: Record<string, string>): Child {
  const options: SpawnOptions = {
    cwd: root,
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdio: ["ignore", "ignore", "inherit"],
  };
  return childOf(spawn(process.execPath, args, options));
}

/** Waits for the first 200; stops what does not come up. */
export async function untilReady(running: Child, url: string, name: string): Promise<Child> {
  const ready = async (): Promise<boolean> => {
    const { exitCode } = running.process;
    if (exitCode !== null) throw new Error(`${name} ended with code ${exitCode}`);
    return (await fetch(url)).status === 200;
  };
  try {
    await waitFor(ready, { timeoutMs: 20_000, what: name });
  } catch (error) {
    await running.stop();
    throw error;
  }
  return running;
}

function childOf(child: ChildProcess): Child {
  return {
    process: child,
    pid: child.pid ?? 0,
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      const hard = setTimeout(() => child.kill("SIGKILL"), 5000);
      await exited;
      clearTimeout(hard);
    },
  };
}
