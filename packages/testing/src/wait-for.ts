import { setTimeout as delay } from "node:timers/promises";

/**
 * Asks again and again until `check` gives something true, and gives that back. A check that throws counts as not yet.
 * @throws Error after `timeoutMs` (10,000 unless told), with what the last try said
 */
export async function waitFor<T>(
  check: () => T | Promise<T>,
  options: { timeoutMs?: number; intervalMs?: number; what?: string } = {},
): Promise<Exclude<T, undefined | null | false | 0 | "">> {
  const deadline = performance.now() + (options.timeoutMs ?? 10_000);
  let last: unknown;
  for (;;) {
    try {
      const value = await check();
      if (value) return value as Exclude<T, undefined | null | false | 0 | "">;
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) {
      const said = last instanceof Error ? last.message : String(last);
      throw new Error(`${options.what ?? "what was waited for"} did not come: ${said}`, { cause: last });
    }
    await delay(options.intervalMs ?? 10);
  }
}
