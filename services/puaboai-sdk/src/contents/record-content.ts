import type { ServerResponse } from "node:http";
import { StreamText } from "./stream-text.ts";

/** A text as it was, or its beginning. */
export interface RecordedText {
  text: Buffer;
  /** Of all of it. */
  bytes: number;
}

export interface RecordedContent {
  /** `undefined`: a guardrail has refused it, or it was empty. */
  prompt: RecordedText | undefined;
  /** `undefined`: the client was gone before it had any. */
  answer: RecordedText | undefined;
  streamed: boolean;
}

export interface ContentRecorder {
  /** What the model is asked: as the client sent it, or as guardrails left it. */
  asked(body: Buffer): void;
  /** The work of the call is over; its answer may still be on its way. */
  callEnded(): void;
}

interface Recording {
  raw: ServerResponse;
  /** Of each text, bytes. */
  mostBytes: number;
  /** Room in memory, bytes. False: there is none, and this call's content is let go of. */
  takeRoom: (bytes: number) => boolean;
  /** @param room what was taken of it, for the content to give back; `undefined`: the content was let go of */
  done: (content: RecordedContent | undefined, room: number) => void;
}

type Chunk = Buffer | Uint8Array | string;

/**
 * Records what a client gets: everything goes through its response, whoever wrote it (a provider, a model of ours, the cache, a
 * refusal). What was written counts as sent, although of an aborted answer the last pieces may not have arrived.
 */
export function recordContent({ raw, mostBytes, takeRoom, done }: Recording): ContentRecorder {
  let prompt: RecordedText | undefined;
  let stream: StreamText | undefined;
  let pieces: Buffer[] | undefined;
  let answerBytes = 0;
  let held = 0;
  let heldOfAnswer = 0;
  let isLost = false;
  let waitsFor = 2;

  function lose(): void {
    isLost = true;
    prompt = stream = pieces = undefined;
  }
  function hold(bytes: number): boolean {
    if (!isLost && !takeRoom(bytes)) lose();
    if (!isLost) held += bytes;
    return !isLost;
  }
  function sent(chunk: Chunk, encoding: BufferEncoding | undefined): void {
    if (isLost) return;
    const bytes =
      typeof chunk === "string" ? Buffer.from(chunk, encoding) : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    if (!stream && !pieces) {
      if (isStream(raw, bytes)) stream = new StreamText(mostBytes);
      else pieces = [];
    }
    answerBytes += bytes.length;
    if (stream) {
      const now = stream.push(bytes);
      if (now > heldOfAnswer && hold(now - heldOfAnswer)) heldOfAnswer = now;
    } else if (heldOfAnswer < mostBytes && hold(Math.min(bytes.length, mostBytes - heldOfAnswer))) {
      const kept = beginningOf(bytes, mostBytes - heldOfAnswer);
      pieces?.push(kept);
      heldOfAnswer += kept.length;
    }
  }
  function ended(): void {
    if (--waitsFor > 0) return;
    const answer = stream ? stream.end() : pieces && { text: Buffer.concat(pieces), bytes: answerBytes };
    done(isLost ? undefined : { prompt, answer, streamed: stream !== undefined }, held);
  }

  listen(raw, (chunk, encoding) => {
    try {
      sent(chunk, encoding);
    } catch {
      // What we cannot read is no trouble of the call.
      lose();
    }
  });
  raw.once("close", ended);
  return {
    asked(body) {
      if (hold(Math.min(body.length, mostBytes))) prompt = { text: beginningOf(body, mostBytes), bytes: body.length };
    },
    callEnded: ended,
  };
}

/** A long body is not held for its beginning. */
function beginningOf(bytes: Buffer, mostBytes: number): Buffer {
  return bytes.length <= mostBytes ? bytes : Buffer.from(bytes.subarray(0, mostBytes));
}

/** Node tells no headers that were all given with the head; what is sent whole is a JSON object. */
function isStream(raw: ServerResponse, beginning: Buffer): boolean {
  const type = raw.getHeader("content-type");
  return type === undefined ? beginning[0] !== 0x7b : String(type).startsWith("text/event-stream");
}

type Write = (chunk: Chunk, ...rest: unknown[]) => boolean;
type End = (chunk?: unknown, ...rest: unknown[]) => ServerResponse;

/** Tells of each piece after it was written: nobody's answer waits for this. */
function listen(raw: ServerResponse, sent: (chunk: Chunk, encoding: BufferEncoding | undefined) => void): void {
  const write = raw.write.bind(raw) as Write;
  const end = raw.end.bind(raw) as End;
  const tell = (chunk: unknown, encoding: unknown): void => {
    const isText = typeof chunk === "string";
    if (isText || chunk instanceof Uint8Array)
      sent(chunk, isText && typeof encoding === "string" ? (encoding as BufferEncoding) : undefined);
  };
  const wrapped: { write: Write; end: End } = {
    write(chunk, ...rest) {
      const isGone = raw.destroyed;
      const flows = write(chunk, ...rest);
      if (!isGone) tell(chunk, rest[0]);
      return flows;
    },
    end(chunk, ...rest) {
      const isGone = raw.destroyed;
      const response = end(chunk, ...rest);
      if (!isGone) tell(chunk, rest[0]);
      return response;
    },
  };
  Object.assign(raw, wrapped);
}
