import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout } from "node:timers/promises";
import type { Docker } from "../docker/open-docker.ts";
import type { PortUse } from "./facts.ts";

const looks = 6;
const pauseMs = 500;

/**
 * Whether a port of this machine is free, and if not, who has it. A container that restarts at this moment (a crash loop, say)
 * has its port open before the engine lists it: what no container seems to hold is looked at again before it counts as foreign.
 */
export async function findPortUse(port: number, project: string, docker: Docker): Promise<PortUse> {
  for (let look = 1; ; look++) {
    const use = await lookAtPort(port, project, docker);
    if (use.holder === undefined || use.holder.ours || use.byContainer || look === looks) return { port, holder: use.holder };
    await setTimeout(pauseMs);
  }
}

async function lookAtPort(port: number, project: string, docker: Docker): Promise<PortUse & { byContainer: boolean }> {
  if (await isFree(port)) return { port, holder: undefined, byContainer: false };
  const format = '{{.Names}}\t{{.Label "com.docker.compose.project"}}';
  const { stdout } = await docker.docker(["ps", "--filter", `publish=${port}`, "--format", format], { timeoutMs: 20_000 });
  const [container, owner] = stdout.trim().split("\t");
  if (container) return { port, holder: { ours: owner === project, who: `container ${container}` }, byContainer: true };
  return { port, holder: { ours: false, who: findListener(port) ?? "another process" }, byContainer: false };
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    // A port that may not be tried (below 1024 as an ordinary user) is the engine's to open.
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "EADDRINUSE"));
    server.listen({ port, host: "0.0.0.0" }, () => server.close(() => resolve(true)));
  });
}

/** `name (process id)` of the listener, as far as /proc shows it to this user. */
function findListener(port: number): string | undefined {
  try {
    const sockets = new Set(["/proc/net/tcp", "/proc/net/tcp6"].flatMap((table) => listeningSockets(table, port)));
    const pid = readdirSync("/proc").find((entry) => /^\d+$/.test(entry) && holdsOne(entry, sockets));
    return pid && `${readFileSync(`/proc/${pid}/comm`, "utf8").trim()} (process ${pid})`;
  } catch {
    return undefined;
  }
}

/** Inodes of the sockets that listen on the port; state 0A is LISTEN (proc(5)). */
function listeningSockets(table: string, port: number): string[] {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return readFileSync(table, "utf8")
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = "", , state]) => local.endsWith(wanted) && state === "0A")
    .flatMap((columns) => columns[9] ?? []);
}

function holdsOne(pid: string, sockets: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((descriptor) => {
      const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${descriptor}`))?.[1];
      return inode !== undefined && sockets.has(inode);
    });
  } catch {
    return false; // Another user's process.
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // Closed meanwhile.
  }
}
