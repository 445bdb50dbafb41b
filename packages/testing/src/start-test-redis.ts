import { type StartedRedis, startRedis } from "@nexus/redis";

/** A Redis of the caller's own: the machine's, where one is installed, else the embedded one. `stop` it when done. */
export async function startTestRedis(options: { preferEmbedded?: boolean } = {}): Promise<StartedRedis> {
  return await startRedis({ ...options, path: process.env["PATH"] ?? "" });
}
