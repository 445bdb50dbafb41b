/** Why a client is not understood any more; the connection ends with it. */
export class ProtocolError extends Error {
  constructor(message: string) {
    super(`ERR Protocol error: ${message}`);
    this.name = "ProtocolError";
  }
}

export interface RequestLimits {
  arguments: number;
  /** Of all arguments of one command together. */
  bytes: number;
}

/** `*`, `$` and a number of ten digits: no line of a header is longer. */
const longestHeader = 32;

/**
 * Cuts a stream of bytes into commands: arrays of bulk strings, nothing else (no inline commands: an HTTP request that a browser
 * was tricked into sending is refused at its first byte). Holds at most one command and a chunk.
 */
export class RequestParser {
  readonly #limits: () => RequestLimits;
  #chunks: Buffer[] = [];
  #size = 0;
  /** Bytes that must be there before it is worth looking again. */
  #needed = 1;
  #command: string[] | undefined;
  #missing = 0;
  #commandBytes = 0;
  #bulkLength: number | undefined;

  /** `limits` is asked for each command: they grow when the client has shown its password. */
  constructor(limits: () => RequestLimits) {
    this.#limits = limits;
  }

  /** Calls `onCommand` for each whole command. @throws ProtocolError */
  push(chunk: Buffer, onCommand: (command: string[]) => void): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size < this.#needed) return;
    const buffer = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#size);
    const used = this.#parse(buffer, onCommand);
    const rest = buffer.subarray(used);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#size = rest.length;
  }

  /** @returns the number of bytes that were used */
  #parse(buffer: Buffer, onCommand: (command: string[]) => void): number {
    let at = 0;
    for (;;) {
      if (this.#bulkLength !== undefined) {
        const end = at + this.#bulkLength;
        if (buffer.length < end + 2) return this.#wait(at, this.#bulkLength + 2);
        if (buffer[end] !== 13 || buffer[end + 1] !== 10) throw new ProtocolError("expected CRLF after a bulk string");
        this.#command?.push(buffer.toString("latin1", at, end));
        this.#bulkLength = undefined;
        this.#missing -= 1;
        at = end + 2;
        if (this.#missing === 0) onCommand(this.#take());
        continue;
      }
      const end = buffer.indexOf("\r\n", at, "latin1");
      if (end === -1 && buffer.length - at > longestHeader) throw new ProtocolError("too long a header");
      if (end === -1) {
        this.#checkType(buffer[at]);
        return this.#wait(at, 1);
      }
      this.#checkType(buffer[at]);
      this.#header(buffer.toString("latin1", at + 1, end));
      at = end + 2;
    }
  }

  #wait(at: number, needed: number): number {
    this.#needed = needed;
    return at;
  }

  #take(): string[] {
    const command = this.#command ?? [];
    this.#command = undefined;
    return command;
  }

  #checkType(byte: number | undefined): void {
    if (byte === undefined) return;
    const expected = this.#command === undefined ? "*" : "$";
    const got = String.fromCharCode(byte);
    if (got !== expected) throw new ProtocolError(`expected '${expected}', got '${got < " " || got > "~" ? "?" : got}'`);
  }

  #header(digits: string): void {
    const limits = this.#limits();
    if (!/^-?\d{1,10}$/.test(digits)) throw new ProtocolError("invalid length");
    const length = Number(digits);
    if (this.#command === undefined) {
      if (length > limits.arguments) throw new ProtocolError("invalid multibulk length");
      // An empty command asks nothing and is answered with nothing.
      if (length <= 0) return;
      this.#command = [];
      this.#missing = length;
      this.#commandBytes = 0;
      return;
    }
    this.#commandBytes += length;
    if (length < 0 || this.#commandBytes > limits.bytes) throw new ProtocolError("invalid bulk length");
    this.#bulkLength = length;
  }
}
