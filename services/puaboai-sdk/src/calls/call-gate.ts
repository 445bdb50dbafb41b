/** Counts the calls under way, so that a stopping process can wait for the last one's account. */
export interface CallGate {
  enter(): void;
  leave(): void;
  /** Resolves when no call is under way, or after the deadline. */
  idle(deadlineMs: number): Promise<void>;
}

export function openCallGate(): CallGate {
  let active = 0;
  let onIdle: (() => void) | undefined;
  return {
    enter: () => void active++,
    leave: () => {
      active--;
      if (active === 0) onIdle?.();
    },
    idle: (deadlineMs) =>
      new Promise((resolve) => {
        if (active === 0) return resolve();
        const timer = setTimeout(resolve, deadlineMs);
        onIdle = () => {
          clearTimeout(timer);
          resolve();
        };
      }),
  };
}
