/**
 * Says which process a journal belongs to and whether it lives. The owner listens on a Unix socket beside its journal for as long
 * as it lives: the kernel closes it on any death, it works across containers that share the volume, and a paused process still
 * counts as living. Process numbers would not do: in a container everybody is number 1.
 */
import { closeSync, openSync, readdirSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";

export interface SpoolOwner {
  processId: string;
  /** Gives up the ownership; what is left in the spool may then be replayed by anybody. */
  close(): Promise<void>;
}

const suffix = ".sock";
// sun_path holds 108 bytes on Linux and 104 on macOS.
const longestPath = 100;

/** Makes this process the living owner of everything in `directory` that carries `processId`. */
export async function ownSpool(directory: string, processId: string): Promise<SpoolOwner> {
  const server = createServer((socket) => socket.destroy());
  const place = socketPath(directory, processId);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject).listen(place.path, resolve);
    });
  } finally {
    place.release();
  }
  // A journal must not keep a process alive that has nothing else to do.
  server.unref();
  return {
    processId,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          rmSync(join(directory, processId + suffix), { force: true });
          resolve();
        });
      }),
  };
}

/** True unless the owner is certainly gone. */
export async function isOwnerAlive(directory: string, processId: string): Promise<boolean> {
  const place = socketPath(directory, processId);
  try {
    return await new Promise<boolean>((resolve) => {
      const socket = connect(place.path);
      socket.once("connect", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT"));
    });
  } finally {
    place.release();
  }
}

/** Removes what a dead owner's socket left behind. */
export function forgetOwner(directory: string, processId: string): void {
  rmSync(join(directory, processId + suffix), { force: true });
}

/** Owners of whom something is left in the spool, living or dead. */
export function spoolOwners(directory: string): Set<string> {
  const owners = readdirSync(directory).map((name) => /^([0-9a-f-]{36})(?:\.\d+\.jsonl|\.sock)$/.exec(name)?.[1]);
  return new Set(owners.filter((owner) => owner !== undefined));
}

/** A data folder may lie deeper than a socket path may be long; Linux reaches it through an open handle of the folder. */
function socketPath(directory: string, processId: string): { path: string; release(): void } {
  const path = join(directory, processId + suffix);
  if (Buffer.byteLength(path) <= longestPath) return { path, release: () => {} };
  const handle = openSync(directory, "r");
  return { path: `/proc/self/fd/${handle}/${processId}${suffix}`, release: () => closeSync(handle) };
}
