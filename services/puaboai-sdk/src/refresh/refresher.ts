/** Keeps what this process knows with what is changed elsewhere. Who hears of a change only marks it here: nobody waits for the reading. */
import { setTimeout as delay } from "node:timers/promises";

interface RefresherOptions {
  /** Reads all of it. @param signal aborts when nobody wants it any more */
  read: (signal: AbortSignal) => Promise<void>;
  /** A reading has failed, the first of several in a row. */
  onFailure: (error: unknown) => void;
  /** Between a failure and the next try: twice as long each time. */
  pause: { shortestMs: number; longestMs: number };
}

/** Owns the reading that is under way. */
export class Refresher {
  readonly #options: RefresherOptions;
  readonly #closing = new AbortController();
  /** Something happened since the last reading began. */
  #isStale = false;
  #reading: Promise<void> | undefined;
  #wake = new AbortController();

  constructor(options: RefresherOptions) {
    this.#options = options;
  }

  /** What is known may be old. Resolves when it has been read, however long that takes; never rejects. */
  refresh(): Promise<void> {
    this.#isStale = true;
    this.#wake.abort();
    this.#reading ??= this.#readUntilDone().finally(() => {
      this.#reading = undefined;
      // Asked for between the last look and this moment.
      if (this.#isStale && !this.#closing.signal.aborted) void this.refresh();
    });
    return this.#reading;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#wake.abort();
    await this.#reading;
  }

  async #readUntilDone(): Promise<void> {
    const { signal } = this.#closing;
    for (let failures = 0; this.#isStale && !signal.aborted;) {
      // What is announced from here on is not surely among what is read.
      this.#isStale = false;
      try {
        await this.#options.read(signal);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (failures++ === 0) this.#options.onFailure(error);
        await this.#pause(failures);
        this.#isStale = true;
      }
    }
  }

  /** By chance, so that many gateways do not come back in step. News end it. */
  async #pause(failures: number): Promise<void> {
    this.#wake = new AbortController();
    if (this.#isStale || this.#closing.signal.aborted) return;
    const { shortestMs, longestMs } = this.#options.pause;
    const ceiling = Math.min(longestMs, shortestMs * 2 ** Math.min(failures - 1, 20));
    await delay(ceiling * (0.5 + Math.random() / 2), undefined, { signal: this.#wake.signal }).catch(() => {});
  }
}
