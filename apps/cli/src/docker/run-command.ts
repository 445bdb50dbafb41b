import { spawn } from "node:child_process";

export interface CommandOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Ends the command after this long; the default is two minutes. */
  readonly timeoutMs?: number;
  /** Sees each piece of output as it comes. */
  readonly onOutput?: (text: string) => void;
  readonly input?: string;
}

export interface CommandResult {
  /** 127 where there is no such program, 124 after the timeout. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. A failure is an answer here, not an error: the caller knows what it means. */
export function runCommand(program: string, args: readonly string[], options: CommandOptions): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: options.cwd, env: options.env, stdio: ["pipe", "pipe", "pipe"] });
    const output = { stdout: "", stderr: "" };
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill("SIGKILL");
    }, options.timeoutMs ?? 120_000);
    for (const name of ["stdout", "stderr"] as const) {
      child[name].setEncoding("utf8").on("data", (text: string) => {
        output[name] += text;
        options.onOutput?.(text);
      });
    }
    const finish = (code: number): void => {
      clearTimeout(timer);
      resolve({ code: timedOut ? 124 : code, ...output });
    };
    child.on("error", (error) => {
      output.stderr += error.message;
      finish(127);
    });
    child.on("close", (code) => finish(code ?? 1));
    // A program that ends without reading its input must not end us.
    child.stdin.on("error", () => {});
    child.stdin.end(options.input ?? "");
  });
}
