import type { Clock } from "@nexus/core";

/** A read that anybody may cause, done by one at a time and kept for `forMs` of what came, whoever asks. A failure is not kept. */
export function cachedRead<T>(options: { clock: Clock; forMs: (value: T) => number }, read: () => Promise<T>): () => Promise<T> {
  let current: { value: Promise<T>; until: number } | undefined;
  return () => {
    if (current && options.clock.monotonic() < current.until) return current.value;
    const started = { value: read(), until: Number.POSITIVE_INFINITY };
    current = started;
    started.value.then(
      (value) => (started.until = options.clock.monotonic() + options.forMs(value)),
      () => (started.until = Number.NEGATIVE_INFINITY),
    );
    return started.value;
  };
}
