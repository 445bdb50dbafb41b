import type { ProviderDeadlines } from "../settings/provider-settings.ts";

/** The clock of one call: the first byte, the gaps after it, and the whole. */
export interface CallDeadlines {
  firstByte(): void;
  /** Something came, or may come again after a pause. */
  progress(): void;
  /** The client is slow: the provider's silence does not count now. */
  pause(): void;
  stop(): void;
}

/** `onPassed` is called at most once, from a timer. */
export function deadlines(limits: ProviderDeadlines, onPassed: (which: "first byte" | "idle" | "total") => void): CallDeadlines {
  const total = setTimeout(() => onPassed("total"), limits.totalMs);
  let gap = setTimeout(() => onPassed("first byte"), limits.firstByteMs);
  let paused = false;
  const restart = () => {
    clearTimeout(gap);
    gap = setTimeout(() => onPassed("idle"), limits.idleMs);
  };
  return {
    firstByte: restart,
    progress() {
      if (paused) restart();
      // Keeps the timer and moves it: a stream of frames makes no timers.
      else gap.refresh();
      paused = false;
    },
    pause() {
      clearTimeout(gap);
      paused = true;
    },
    stop() {
      clearTimeout(total);
      clearTimeout(gap);
    },
  };
}
