/** A call whose client and whose provider speak different formats. */
import type { Problem, RequestId } from "@nexus/core";

export type JsonObject = Record<string, unknown>;

/** One call on its way through: made from its request, so that answers know what was asked. */
export interface Conversion {
  /** For the provider. */
  body: Buffer;
  /** JSON Pointers of what the other format has no place for. */
  lost: readonly string[];
  /** A whole answer of the provider in the client's format. @throws SyntaxError, TypeError for one that is no answer */
  answer(body: Buffer): Buffer;
  /** A refusal of the provider in the client's format. */
  refusal(body: Buffer): Buffer;
  /** Whole frames of the provider's stream in, frames for the client out; `undefined` when there is nothing to say. */
  frames(frames: Buffer): Buffer | undefined;
  errorFrame(problem: Problem, requestId: RequestId): string;
}

/** What the client calls its answer. */
export interface AnswerIdentity {
  id: string;
  /** Unix seconds. */
  created: number;
  /** The name that the client asked for. */
  model: string;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function objectsOf(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

export function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** The data of each frame, parsed; what is no JSON object is left out, as `[DONE]` and comments are. */
export function eventsIn(frames: Buffer): JsonObject[] {
  return frames
    .toString()
    .split(/\r?\n\r?\n/)
    .flatMap((frame) => {
      const data = frame
        .split(/\r?\n/)
        .flatMap((line) => (line.startsWith("data:") ? [line.slice("data:".length)] : []))
        .join("\n");
      try {
        const event: unknown = JSON.parse(data);
        return isJsonObject(event) ? [event] : [];
      } catch {
        return [];
      }
    });
}
