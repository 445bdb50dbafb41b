import { framesIn } from "../wire/frames-in.ts";
import { type Leaf, readFrame } from "../wire/stream-texts.ts";

/** Frames are read when so many bytes have gathered, and at the end: not one by one, while somebody waits for them. */
const gatheredBytes = 32 * 1024;
/** A longer frame is passed over: reading it takes too long, and it is told as text that is not kept. */
const longestFrame = 1024 * 1024;
const separator = "\n\n";

/** The text of a stream, put together from its frames: each text of an answer (choices, tool arguments, thinking) a paragraph. */
export class StreamText {
  readonly #mostBytes: number;
  readonly #texts = new Map<string, string[]>();
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #readAt = gatheredBytes;
  #bytes = 0;
  /** Of what is kept. */
  #kept = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /** Returns how many bytes of memory are held. */
  push(frames: Buffer): number {
    this.#pending.push(frames);
    this.#pendingBytes += frames.length;
    if (this.#pendingBytes >= this.#readAt) this.#read(false);
    return this.#pendingBytes + this.#kept;
  }

  /** @returns the text, at most so many bytes of it and a piece more; `bytes`: of all of it */
  end(): { text: Buffer; bytes: number } {
    this.#read(true);
    const text = [...this.#texts.values()].map((pieces) => pieces.join("")).join(separator);
    return { text: Buffer.from(text), bytes: this.#bytes + Math.max(0, this.#texts.size - 1) * separator.length };
  }

  #read(isLast: boolean): void {
    const gathered = this.#pending.length === 1 ? this.#pending[0] : Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#readAt = gatheredBytes;
    if (!gathered) return;
    for (const frame of framesIn(gathered)) {
      const isWhole = isLast || endsInBlankLine(frame);
      if (frame.length > longestFrame) this.#bytes += frame.length;
      else if (isWhole) this.#take(frame);
      else {
        this.#pending = [frame];
        this.#pendingBytes = frame.length;
        // A long frame is not looked through anew for each of its pieces.
        this.#readAt = gatheredBytes + 2 * frame.length;
      }
    }
  }

  #take(frame: Buffer): void {
    for (const { channel, text } of this.#leavesOf(frame)) {
      if (channel === undefined || text === "") continue;
      const bytes = Buffer.byteLength(text);
      this.#bytes += bytes;
      if (this.#kept > this.#mostBytes) continue;
      const pieces = this.#texts.get(channel) ?? [];
      this.#texts.set(channel, pieces);
      pieces.push(text);
      this.#kept += bytes;
    }
  }

  /** What nobody can read is text that is not kept. */
  #leavesOf(frame: Buffer): readonly Leaf[] {
    try {
      return readFrame(frame).leaves;
    } catch {
      this.#bytes += frame.length;
      return [];
    }
  }
}

function endsInBlankLine(frame: Buffer): boolean {
  return /\n\r?\n$/.test(frame.toString("latin1", Math.max(0, frame.length - 3)));
}
