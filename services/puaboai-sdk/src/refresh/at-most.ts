import { setTimeout as delay } from "node:timers/promises";

/** Resolves with the work, or without it when so much time has passed; the work then goes on. @throws what the work does */
export async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  const giveUp = new AbortController();
  try {
    await Promise.race([work, delay(ms, undefined, { signal: giveUp.signal }).catch(() => {})]);
  } finally {
    giveUp.abort();
  }
}
