/** What the gateway knows of a wire format, so that answers in it can pass through: their figures, their end, their errors. */
import type { Problem, RequestId } from "@nexus/core";
import type { TokenUsage } from "../usage/token-usage.ts";
import type { FrameReader } from "./sse-tap.ts";

/** As `wire_formats` in gateway.yaml names them. */
export const wireFormatNames = [
  "openai-chat",
  "openai-responses",
  "openai-embeddings",
  "openai-moderations",
  "openai-images",
  "openai-speech",
  "openai-transcriptions",
  "anthropic-messages",
  "gemini",
  "bedrock-converse",
] as const;
export type WireFormatName = (typeof wireFormatNames)[number];

/** Makes server-sent events of a stream that is none. */
export interface StreamDecoder {
  /** The frames that this completes; `undefined`: none. @throws Error when it is not what it should be */
  push(chunk: Buffer): Buffer | undefined;
  /** The stream has ended inside of a message. */
  isTorn(): boolean;
}

export interface WireFormat {
  readonly name: WireFormatName;
  /** Below the provider's base URL; some name the model in it. */
  readonly path: string | ((call: { model: string; stream: boolean }) => string);
  /** The figures of a whole answer; `undefined` when it tells none. */
  findUsage(answer: Buffer): TokenUsage | undefined;
  /** What a whole answer that tells no figures is billed: its text counted, no output, or all that was set aside. */
  readonly withoutFigures: "text" | "input" | "bound";
  /** Answers may be sound or plain text, which goes on piece by piece. */
  readonly passesBytes?: boolean;
  /** Media type of its streams; server-sent events unless told. */
  readonly streamType?: string;
  /** For streams that are no server-sent events; one for each. */
  readonly openDecoder?: () => StreamDecoder;
  /** Reads one stream. */
  openFrameReader(): FrameReader;
  /** The last frame of a stream that cannot go on; SDKs throw it as an error. */
  errorFrame(problem: Problem, requestId: RequestId): string;
  /** Headers of the client that the provider gets, in lower case. */
  readonly passingRequestHeaders: readonly string[];
}
