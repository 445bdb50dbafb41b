/** A wire between one process and one server that a test can cut, hold up and listen to. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/**
 * `open`: bytes pass. `cut`: connections are destroyed and new ones refused at once. `hung`: connections stand and are
 * accepted, and nothing passes; what was sent meanwhile arrives when the wire is open again, as after a lost route.
 */
export type WireState = "open" | "cut" | "hung";

export class Wire {
  port = 0;
  /** Milliseconds that every byte travels, each way; the order stays. */
  delayMs = 0;
  readonly #targetPort: number;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer({ pauseOnConnect: true }, (near) => this.#join(near));
  #state: WireState = "open";
  #opened = Promise.withResolvers<void>();
  #heard: Buffer[] | undefined;

  constructor(targetPort: number) {
    this.#targetPort = targetPort;
  }

  async start(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.port = (this.#server.address() as AddressInfo).port;
  }

  get state(): WireState {
    return this.#state;
  }

  set state(next: WireState) {
    if (next === "cut") this.#destroyAll();
    if (this.#state === "hung") {
      this.#opened.resolve();
      this.#opened = Promise.withResolvers();
    }
    this.#state = next;
  }

  /** From now on what the process sends is kept. @returns all of it so far, as text */
  listen(): () => string {
    this.#heard = [];
    return () => this.heard();
  }

  /** What was sent since `listen`. */
  heard(): string {
    return Buffer.concat(this.#heard ?? []).toString("latin1");
  }

  async close(): Promise<void> {
    this.state = "cut";
    this.#server.close();
    await once(this.#server, "close");
  }

  #join(near: Socket): void {
    if (this.#state === "cut") {
      near.resetAndDestroy();
      return;
    }
    const far = connect({ port: this.#targetPort, host: "127.0.0.1", noDelay: true });
    near.setNoDelay(true);
    for (const [from, into] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.on("error", () => {});
      from.once("close", () => {
        this.#sockets.delete(from);
        into.destroy();
      });
    }
    void this.#pump(near, far, (chunk) => this.#heard?.push(chunk));
    void this.#pump(far, near);
  }

  /** One chunk after the other: each leaves when its time has come and the wire is open. */
  async #pump(from: Socket, into: Socket, hear?: (chunk: Buffer) => void): Promise<void> {
    const travelling: { chunk: Buffer; arrivesAt: number }[] = [];
    let deliver = Promise.withResolvers<void>();
    let ended = false;
    from.on("data", (chunk: Buffer) => {
      hear?.(chunk);
      travelling.push({ chunk, arrivesAt: performance.now() + this.delayMs });
      deliver.resolve();
    });
    from.once("end", () => {
      ended = true;
      deliver.resolve();
    });
    from.resume();
    for (;;) {
      const next = travelling.shift();
      if (!next) {
        if (ended) return void into.end();
        deliver = Promise.withResolvers();
        await deliver.promise;
        continue;
      }
      const early = next.arrivesAt - performance.now();
      if (early > 0) await delay(early);
      while (this.#state === "hung") await this.#opened.promise;
      if (into.destroyed) return undefined;
      into.write(next.chunk);
    }
  }

  #destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
