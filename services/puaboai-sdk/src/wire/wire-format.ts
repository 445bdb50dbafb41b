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
] as const;
export type WireFormatName = (typeof wireFormatNames)[number];

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
  /** Reads one stream. */
  openFrameReader(): FrameReader;
  /** The last frame of a stream that cannot go on; SDKs throw it as an error. */
  errorFrame(problem: Problem, requestId: RequestId): string;
  /** Headers of the client that the provider gets, in lower case. */
  readonly passingRequestHeaders: readonly string[];
}
