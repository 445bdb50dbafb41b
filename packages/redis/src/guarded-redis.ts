import { type Command, Redis, type RedisOptions } from "ioredis";
import { asCacheError, CacheUnavailable } from "./cache-unavailable.ts";

interface Guard {
  /** Milliseconds that a command may take. */
  commandTimeoutMs: number;
  /** Milliseconds without a byte after a missed deadline until the connection is given up. */
  giveUpMs: number;
  onHung: () => void;
  onAnswering: () => void;
  /** A command could not be carried out. */
  onLost: () => void;
}

/** Nobody waits for these, so a slow server may take longer over them than over a command. */
const handshakeTimeoutMs = 1000;
const handshakeCommands = new Set(["auth", "hello", "select", "client", "info"]);
/** How often a deadline is moved because it was this process that had no time. */
const mostExtensions = 3;

/**
 * A connection on which a hung Redis costs one deadline: after the first command that misses it, commands fail at once until
 * the server says anything again (a process that was stopped and continued answers what it was asked), or until the
 * connection is given up and a new one has passed its handshake.
 */
export class GuardedRedis extends Redis {
  readonly #guard: Guard;
  #hung = false;
  #giveUp: NodeJS.Timeout | undefined;

  constructor(url: string, options: Omit<RedisOptions, "replyMapping">, guard: Guard) {
    super(url, options);
    this.#guard = guard;
    this.on("connect", () => this.#watchStream());
    this.on("close", () => this.#reset());
  }

  override sendCommand(...[command, stream]: Parameters<Redis["sendCommand"]>): unknown {
    const reject = command.reject;
    command.reject = (error) => {
      const cacheError = asCacheError(error);
      if (cacheError instanceof CacheUnavailable) this.#guard.onLost();
      reject(cacheError);
    };
    const isHandshake = this.status !== "ready" && handshakeCommands.has(command.name);
    if (this.#hung && !isHandshake) {
      command.reject(new CacheUnavailable("Redis does not answer"));
      return command.promise;
    }
    this.#setDeadline(command, isHandshake ? handshakeTimeoutMs : this.#guard.commandTimeoutMs);
    return super.sendCommand(command, stream);
  }

  #setDeadline(command: Command, timeoutMs: number): void {
    let waitedBefore = waitedMs();
    let extensions = 0;
    const check = (): void => {
      if (command.isSettled) return;
      // This process was busy rather than waiting: the answer may lie unread in the socket, or Redis may be this process.
      if (waitedMs() - waitedBefore < timeoutMs / 2 && extensions < mostExtensions) {
        extensions += 1;
        waitedBefore = waitedMs();
        timer = setTimeout(check, timeoutMs);
        return;
      }
      command.reject(new CacheUnavailable(`Redis did not answer within ${timeoutMs} ms`));
      this.#missed();
    };
    let timer = setTimeout(check, timeoutMs);
    const clear = (): void => clearTimeout(timer);
    command.promise.then(clear, clear);
  }

  #missed(): void {
    // During the handshake ioredis itself drops the connection for it.
    if (this.#hung || this.status !== "ready") return;
    this.#hung = true;
    this.#giveUp = setTimeout(() => this.stream.destroy(), this.#guard.giveUpMs);
    this.#guard.onHung();
  }

  #watchStream(): void {
    this.stream.on("data", () => {
      if (!this.#hung) return;
      this.#reset();
      this.#guard.onAnswering();
    });
  }

  #reset(): void {
    clearTimeout(this.#giveUp);
    this.#hung = false;
  }
}

/** Milliseconds that the event loop has spent waiting for something to happen, ever. */
function waitedMs(): number {
  return performance.nodeTiming.idleTime;
}
