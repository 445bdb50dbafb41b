import type { Cache } from "@nexus/redis";
import { type Hint, hintChannel } from "./change.ts";

/** Tells every verifier that it is worth looking at the feed; after the commit. With Redis away they look by themselves within a second. */
export function announceChanges(cache: Cache | undefined, changes: readonly Hint[]): void {
  if (!cache) return;
  for (const change of changes) cache.client.publish(hintChannel, JSON.stringify(change)).catch(() => {});
}
