import type { Clock } from "@nexus/core";

/** A read that anybody may cause, done at most once in `forMs` and by one at a time, whoever asks. A failure is not kept. */
export function cachedRead<T>(options: { clock: Clock; forMs: number }, read: () => Promise<T>): () => Promise<T> {
  let current: { value: Promise<T>; until: number } | undefined;
  return () => {
    if (current && options.clock.monotonic() < current.until) return current.value;
    const started = { value: read(), until: options.clock.monotonic() + options.forMs };
    current = started;
    started.value.catch(() => {
      if (current === started) current = undefined;
    });
    return started.value;
  };
}
