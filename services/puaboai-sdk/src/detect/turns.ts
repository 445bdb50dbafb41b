import { setImmediate as nextTurn } from "node:timers/promises";

/** Long work that lets calls have their turn in between. */
export class Turns {
  readonly #mostMs: number;
  #since = performance.now();

  /** @param mostMs longest time without letting others have theirs */
  constructor(mostMs: number) {
    this.#mostMs = mostMs;
  }

  isDue(): boolean {
    return performance.now() - this.#since >= this.#mostMs;
  }

  async take(): Promise<void> {
    await nextTurn();
    this.#since = performance.now();
  }
}
