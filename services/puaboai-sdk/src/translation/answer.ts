/** What a model answers, in no dialect: whole, and as the events of a stream. */
import { Problem } from "@nexus/core";
import { type JsonObject, textOf } from "../json/members.ts";
import type { TokenUsage } from "../usage/token-usage.ts";

export type AnswerPart =
  | { type: "text"; text: string }
  | { type: "refusal"; text: string }
  | { type: "reasoning"; text: string; signature?: string | undefined; redacted?: string | undefined }
  | { type: "toolCall"; id: string; name: string; input: string; thoughtSignature?: string | undefined };

export type FinishReason = "stop" | "length" | "toolCalls" | "filtered" | "refusal" | "stopSequence" | "paused";

export interface Answer {
  parts: AnswerPart[];
  finish: FinishReason;
  stopSequence?: string | undefined;
  usage: TokenUsage | undefined;
}

export type AnswerEvent =
  | { type: "usage"; usage: TokenUsage }
  | { type: "text"; text: string }
  | { type: "refusal"; text: string }
  | { type: "reasoning"; text: string }
  | { type: "reasoningSignature"; signature: string }
  | { type: "redactedReasoning"; data: string }
  /** `key` tells one call of a stream from another. */
  | { type: "toolCall"; key: string; id: string; name: string; thoughtSignature?: string | undefined }
  | { type: "toolInput"; key: string; text: string }
  | { type: "finish"; finish: FinishReason; stopSequence?: string | undefined }
  | { type: "error"; error: UpstreamError }
  /** The upstream said that it is done. */
  | { type: "end" };

export interface UpstreamError {
  status: number;
  message: string;
  code?: string | undefined;
}

export interface SseEvent {
  event?: string;
  data: string;
}

/** Reads the stream of an upstream. An event that it does not know is no event. */
export type StreamReader = (event: SseEvent) => AnswerEvent[];

/** Writes the stream of a client, as frames. After `end` or `error` it is not called again. */
export type StreamWriter = (event: AnswerEvent) => string[];

export interface AnswerOptions {
  /** As the client named it. */
  model: string;
  id: string;
  /** Unix time in seconds. */
  created: number;
}

export interface StreamOptions extends AnswerOptions {
  /** The client wants the figures in a frame of their own (OpenAI's `stream_options.include_usage`). */
  includeUsage: boolean;
}

/** What cannot be an answer is the provider's fault. */
export function notAnAnswer(): Problem {
  return new Problem("upstream_failed", "The model provider sent something that is no answer.");
}

/** What every vendor's error body tells, as far as it tells anything. */
export function readUpstreamError(status: number, body: JsonObject): UpstreamError {
  const message = textOf(body, "error", "message") ?? textOf(body, "message") ?? textOf(body, "error") ?? textOf(body, "detail");
  const code = textOf(body, "error", "code") ?? textOf(body, "error", "status") ?? textOf(body, "error", "type");
  return { status, message: message ?? `The model provider answered with status ${status}.`, code };
}

export function dataFrame(value: JsonObject): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

export function namedFrame(name: string, value: JsonObject): string {
  return `event: ${name}\ndata: ${JSON.stringify({ type: name, ...value })}\n\n`;
}
