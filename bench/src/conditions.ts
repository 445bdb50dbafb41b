import { execFileSync } from "node:child_process";
import { cpus, loadavg, release, totalmem } from "node:os";
import type { RunOptions } from "./benchmark.ts";

const root = new URL("../../", import.meta.url).pathname;

/** Where and with what it was measured; read before the load begins. */
export function conditions(options: RunOptions): Record<string, string | number> {
  const cores = cpus();
  return {
    machine: `${cores.length} × ${cores[0]?.model.trim() ?? "unknown"}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `${process.platform} ${release()} ${process.arch}`,
    node: process.versions.node,
    commit: commit(),
    load_before: loadavg()
      .map((value) => value.toFixed(2))
      .join(" "),
    rounds: options.rounds,
    seconds_per_side: options.seconds,
  };
}

function commit(): string {
  try {
    const git = (...args: string[]): string => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();
    return (
      git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain", "--untracked-files=no") === "" ? "" : " + changes")
    );
  } catch {
    return "unknown";
  }
}
