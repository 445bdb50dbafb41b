/** Counts the calls under way: a stopping process waits for the last one's account, and what was replaced waits for its users. */
export interface CallGate {
  enter(): CallTurn;
  leave(turn: CallTurn): void;
  /** Resolves when every call that is under way now has ended. */
  passed(): Promise<void>;
  /** Resolves when no call is under way, or after the deadline. */
  idle(deadlineMs: number): Promise<void>;
}

/** Calls that began between two questions whether those before have ended. */
interface CallTurn {
  active: number;
  onEmpty: (() => void) | undefined;
}

export function openCallGate(): CallGate {
  let turn: CallTurn = { active: 0, onEmpty: undefined };
  let earlier: Promise<void> = Promise.resolve();
  let active = 0;
  let onIdle: (() => void) | undefined;
  return {
    enter: () => {
      active++;
      turn.active++;
      return turn;
    },
    leave: (left) => {
      active--;
      if (--left.active === 0) left.onEmpty?.();
      if (active === 0) onIdle?.();
    },
    passed: () => {
      const ending = turn;
      if (ending.active === 0) return earlier;
      turn = { active: 0, onEmpty: undefined };
      const ended = new Promise<void>((resolve) => {
        ending.onEmpty = resolve;
      });
      const before = earlier;
      earlier = Promise.all([before, ended]).then(() => undefined);
      return earlier;
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
