/** The Docker engine that the deployment is tried on, through the client that an operator uses. */
import { spawn } from "node:child_process";

export interface Run {
  readonly code: number;
  readonly output: string;
}

/** Runs a program to its end; standard error follows standard output in the answer. */
export function run(program: string, args: readonly string[], options: { cwd?: string; show?: boolean } = {}): Promise<Run> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: options.cwd, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        if (options.show) process.stdout.write(text.replace(/^(?=.)/gm, "      | "));
      });
    }
    child.on("error", (error) => resolve({ code: 127, output: error.message }));
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

/** @throws Error with what the program said when it does not end with 0 */
export async function must(
  program: string,
  args: readonly string[],
  options: { cwd?: string; show?: boolean } = {},
): Promise<string> {
  const { code, output } = await run(program, args, options);
  if (code !== 0) throw new Error(`${program} ${args.slice(0, 3).join(" ")} ended with ${code}: ${output.trim().slice(-2000)}`);
  return output;
}

export interface Inspected {
  readonly Name: string;
  readonly RestartCount: number;
  readonly State: { readonly Status: string; readonly Health?: { readonly Status: string } };
  readonly Config: { readonly User: string; readonly Env: readonly string[]; readonly Image: string };
  readonly HostConfig: {
    readonly ReadonlyRootfs: boolean;
    readonly CapAdd: readonly string[] | null;
    readonly CapDrop: readonly string[] | null;
    readonly SecurityOpt: readonly string[] | null;
    readonly Privileged: boolean;
    readonly Init: boolean;
    readonly Memory: number;
    readonly PidsLimit: number;
    readonly NetworkMode: string;
    readonly RestartPolicy: { readonly Name: string };
    readonly LogConfig: { readonly Config: Readonly<Record<string, string>> };
    readonly PortBindings: Readonly<Record<string, readonly { readonly HostPort: string }[]>>;
  };
}

export async function inspect(container: string): Promise<Inspected> {
  const [found] = JSON.parse(await must("docker", ["inspect", container])) as Inspected[];
  if (!found) throw new Error(`there is no container ${container}`);
  return found;
}

/** Asks again until the answer is yes. @throws Error after the deadline, naming what was waited for */
export async function until(what: string, deadlineMs: number, ask: () => Promise<boolean>): Promise<number> {
  const startMs = Date.now();
  while (!(await ask())) {
    if (Date.now() - startMs > deadlineMs) throw new Error(`waited ${deadlineMs / 1000} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return Date.now() - startMs;
}
