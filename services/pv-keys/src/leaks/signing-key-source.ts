import type { KeyObject } from "node:crypto";
import { type Clock, Problem } from "@nexus/core";
import type { Logger } from "@nexus/telemetry";
import { parseSigningKeys, type SigningKeys } from "./signing-keys.ts";

export interface SigningKeySource {
  /** `undefined`: there is no such key. @throws Problem `unavailable` when the list cannot be had at the moment */
  find(identifier: string): Promise<KeyObject | undefined>;
}

interface Options {
  url: string;
  /** In place of what the address would tell. */
  pinned: SigningKeys | undefined;
  clock: Clock;
  logger: Logger;
}

const freshMs = 60 * 60_000;
/** A list that could not be renewed for so long may name a key that was withdrawn. */
const staleMs = 24 * 60 * 60_000;
/**
 * Anybody can name an unknown key, and whoever makes us ask too often uses up what GitHub answers one address (60 an hour), so
 * that the next honest report finds no list. Some attempts at once, then a few an hour, which leaves room for four replicas.
 */
const cooldownMs = 5000;
const mostAtOnce = 5;
const oneMoreEveryMs = 5 * 60_000;
/** Seconds, at least: nobody is to wait for us in a loop. */
const leastRetrySeconds = 10;
const deadlineMs = 3000;
const mostBytes = 256 * 1024;

/** Fetched when the first report comes, kept for an hour, and asked for again when a report names a key that is not in it. */
export function openSigningKeys({ url, pinned, clock, logger }: Options): SigningKeySource {
  if (pinned) return { find: (identifier) => Promise.resolve(pinned.get(identifier)) };
  let kept: { keys: SigningKeys; atMs: number } | undefined;
  const attempts = openAttempts(clock);
  let pending: Promise<boolean> | undefined;

  const refresh = async (): Promise<boolean> => {
    try {
      kept = { keys: await fetchSigningKeys(url), atMs: clock.monotonic() };
      return true;
    } catch (error) {
      logger.warn({ event: "leak_keys", err: error }, "the keys that leak reports are signed with could not be fetched");
      return false;
    } finally {
      pending = undefined;
    }
  };
  /** False when the list was not read just now. */
  const attempt = async (): Promise<boolean> => {
    if (!pending && !attempts.take()) return false;
    pending ??= refresh();
    return await pending;
  };
  const isYoungerThan = (ms: number): boolean => kept !== undefined && clock.monotonic() - kept.atMs < ms;

  return {
    find: async (identifier) => {
      const isCurrent = isYoungerThan(freshMs) && kept?.keys.has(identifier) === true;
      const wasRead = !isCurrent && (await attempt());
      const known = isYoungerThan(staleMs) ? kept?.keys.get(identifier) : undefined;
      // What an older list does not name may be in the next one: an honest sender is to come again.
      if (!known && !wasRead) {
        const seconds = Math.max(leastRetrySeconds, Math.ceil(attempts.nextInMs() / 1000));
        throw new Problem("unavailable", undefined, { headers: { "retry-after": String(seconds) } });
      }
      return known;
    },
  };
}

/** How often the list may be asked for. */
function openAttempts(clock: Clock): { take(): boolean; nextInMs(): number } {
  let triedMs = Number.NEGATIVE_INFINITY;
  /** When every attempt would be there again. */
  let fullMs = Number.NEGATIVE_INFINITY;
  const nextInMs = (): number =>
    Math.max(0, triedMs + cooldownMs - clock.monotonic(), fullMs - (mostAtOnce - 1) * oneMoreEveryMs - clock.monotonic());
  return {
    nextInMs,
    take() {
      if (nextInMs() > 0) return false;
      triedMs = clock.monotonic();
      fullMs = Math.max(fullMs, triedMs) + oneMoreEveryMs;
      return true;
    },
  };
}

async function fetchSigningKeys(url: string): Promise<SigningKeys> {
  const response = await fetch(url, {
    signal: AbortSignal.timeout(deadlineMs),
    headers: { accept: "application/json", "user-agent": "nexus-pv-keys" },
    redirect: "error",
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`the list of signing keys was answered with ${response.status}`);
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > mostBytes) throw new Error("the list of signing keys is too large");
    chunks.push(chunk);
  }
  return parseSigningKeys(Buffer.concat(chunks).toString());
}
