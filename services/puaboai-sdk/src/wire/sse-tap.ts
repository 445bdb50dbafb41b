/**
 * Reads a server-sent event stream (WHATWG HTML §9.2) on its way through: whole frames leave as they came, at once; the usage is
 * noted; the frame that only we asked for stays here. An unfinished frame waits for its end, so that whatever happens upstream
 * the client's stream stops between frames and an error frame can follow.
 */
import type { TokenUsage } from "../usage/token-usage.ts";
import { growingBuffer } from "./growing-buffer.ts";
import { dataOf as dataIn, isObjectText } from "./member-at.ts";

export interface SseTap {
  /** What may go to the client now; `undefined` when no frame was completed. */
  push(chunk: Buffer): Buffer | undefined;
  /** The rest after the upstream's proper end: a last frame without its blank line. */
  end(): Buffer | undefined;
  state(): SseState;
}

export interface SseState {
  usage: TokenUsage | undefined;
  /** They are of the whole answer, not of its beginning alone. */
  usageIsWhole: boolean;
  /** The provider told figures that can be none. */
  usageIsUnfit: boolean;
  /** Something of the answer itself has come, not only frames around it. */
  begun: boolean;
  /** The frame came that ends every whole stream: what follows it is nobody's. */
  done: boolean;
  /** The answer is complete, but the provider may leave out the frame that says so. */
  finished: boolean;
  /** The upstream sent an error frame, or what it sent can be told to the client as an error alone. */
  failed: boolean;
  /** Why nothing more of the stream can be read. */
  broken: string | undefined;
  /** Some of the answer is sound. */
  hasSound: boolean;
  /** An estimate of the tokens sent so far, for when the provider gives no figure; errs upwards. */
  countedTokens: number;
}

/** `content` is what a model wrote, `control` frames it, and `ours` only we asked for: it stays here. */
type FrameKind = "content" | "control" | "ours";

/** Notes in the state what a frame tells. @param data the beginning of its data, enough to tell what it is */
export type FrameReader = (frame: Buffer, data: string, state: SseState) => FrameKind;

const newline = 0x0a;
const carriageReturn = 0x0d;
// A piece of a picture may have several megabytes; a larger frame is none. It bounds what is held.
const largestFrame = 32 << 20;
const blankLine = Buffer.from("\n\n");

export function sseTap(read: FrameReader): SseTap {
  const state = newState();
  const count = tokenCounter();
  const held = growingBuffer();
  let lineIsBlank = true;

  function take(frame: Buffer): boolean {
    const data = dataOf(frame);
    if (!data) return true;
    const kind = read(frame, data, state);
    if (kind === "content") state.countedTokens = count(frame.length);
    return kind !== "ours";
  }

  return {
    push(chunk) {
      const out: Buffer[] = [];
      if (state.done || state.broken !== undefined) return undefined;
      let start = 0;
      let lineStart = 0;
      for (let at = chunk.indexOf(newline); at !== -1; at = chunk.indexOf(newline, at + 1)) {
        const blank = lineIsBlank && isBlank(chunk, lineStart, at);
        lineIsBlank = true;
        lineStart = at + 1;
        if (!blank) continue;
        const piece = chunk.subarray(start, at + 1);
        held.push(piece);
        const frame = held.take() ?? piece;
        start = at + 1;
        if (take(frame)) out.push(frame);
        if (state.done) return joined(out);
      }
      if (start < chunk.length) {
        lineIsBlank &&= isBlank(chunk, lineStart, chunk.length);
        held.push(chunk.subarray(start));
        if (held.size() > largestFrame) {
          held.take();
          state.broken = "a frame is too large";
        }
      }
      return joined(out);
    },
    end() {
      const rest = held.take();
      // A line without data tells nothing; half of a frame must not reach a client.
      if (!rest?.includes("data:")) return undefined;
      const data = dataIn(rest);
      if (data.toString("latin1").trim() !== "[DONE]" && !isObjectText(data)) {
        state.broken = "the stream ended inside of a frame";
        return undefined;
      }
      return take(rest) ? Buffer.concat([rest, blankLine]) : undefined;
    },
    state: () => state,
  };
}

function newState(): SseState {
  return {
    usage: undefined,
    usageIsWhole: false,
    usageIsUnfit: false,
    begun: false,
    done: false,
    finished: false,
    failed: false,
    broken: undefined,
    hasSound: false,
    countedTokens: 0,
  };
}

function isBlank(chunk: Buffer, from: number, to: number): boolean {
  return to === from || (to === from + 1 && chunk[from] === carriageReturn);
}

function joined(buffers: Buffer[]): Buffer | undefined {
  return buffers.length > 1 ? Buffer.concat(buffers) : buffers[0];
}

/** The start of the frame's data, enough to tell what it is. */
function dataOf(frame: Buffer): string | undefined {
  const at = frame.indexOf("data:");
  if (at === -1) return undefined;
  return frame.toString("latin1", at + 5, at + 5 + 64).trimStart();
}

/**
 * Counts without reading content: every frame is at least one token, and what a frame has beyond the smallest one seen
 * is content, at a token for three bytes. What frames a piece of an answer has a few hundred bytes, even where there is but one.
 */
function tokenCounter(): (frameBytes: number) => number {
  let frames = 0;
  let bytes = 0;
  let smallest = 512;
  return (frameBytes) => {
    frames++;
    bytes += frameBytes;
    smallest = Math.min(smallest, frameBytes);
    return Math.max(frames, Math.ceil((bytes - frames * smallest) / 3));
  };
}
