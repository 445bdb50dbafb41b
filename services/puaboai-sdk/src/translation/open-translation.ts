/** A call whose client and whose provider speak different formats: made for one call, so that its answer knows what was asked. */
import type { Problem, RequestId } from "@nexus/core";
import { isObject } from "../usage/token-usage.ts";
import { linesOf } from "../wire/lines-of.ts";
import type { WireFormat } from "../wire/wire-format.ts";
import type { AnswerOptions, SseEvent } from "./answer.ts";
import { type ClientDialectName, translatorBetween, type UpstreamFormatName } from "./translators.ts";

export interface Translation {
  /** For the provider. */
  body: Buffer;
  /** JSON Pointers of what the other format has no place for. */
  lost: readonly string[];
  /** A whole answer of the provider in the client's format. @throws Problem, SyntaxError or TypeError for one that is no answer */
  answer(body: Buffer): Buffer;
  /** A refusal of the provider in the client's format. @throws SyntaxError, TypeError */
  refusal(status: number, body: Buffer): Buffer;
  /** Whole frames of the provider's stream in, frames for the client out; `undefined` when there is nothing to say. */
  frames(frames: Buffer): Buffer | undefined;
  /** What is left to say when the provider's stream has ended. */
  end(): Buffer | undefined;
  /** The client was told in the stream that it has failed, whatever the provider says. */
  hasFailed(): boolean;
  errorFrame(problem: Problem, requestId: RequestId): string;
}

interface TranslatedCall extends AnswerOptions {
  client: WireFormat & { name: ClientDialectName };
  upstream: UpstreamFormatName;
  /** The client's request, checked to be a JSON object. */
  body: Buffer;
  includeUsage: boolean;
  upstreamModel: string;
  /** The cap that the provider is sent. */
  mostTokens: number;
  /** What this provider wants otherwise than its format says. */
  adapt: (body: Record<string, unknown>) => Record<string, unknown>;
}

/** @throws Problem `invalid_request` naming what cannot be translated */
export function openTranslation({
  client,
  upstream,
  body,
  upstreamModel,
  mostTokens,
  adapt,
  ...options
}: TranslatedCall): Translation {
  const translator = translatorBetween(client.name, upstream);
  const asked = translator.request(objectIn(body), { model: upstreamModel, maxOutputTokens: mostTokens });
  const stream = translator.stream(options);
  return {
    body: bytesOf(adapt(asked.body)),
    lost: asked.lost,
    answer: (answer) => bytesOf(translator.answer(objectIn(answer), options)),
    refusal: (status, answer) => bytesOf(translator.error(status, objectIn(answer))),
    frames: (frames) => joined(eventsIn(frames).flatMap((event) => stream.push(event))),
    end: () => joined(stream.end()),
    hasFailed: () => stream.hasFailed(),
    errorFrame: (problem, requestId) => client.errorFrame(problem, requestId),
  };
}

function objectIn(json: Buffer): Record<string, unknown> {
  const value: unknown = JSON.parse(json.toString());
  if (isObject(value) && !Array.isArray(value)) return value;
  throw new TypeError("no JSON object");
}

function bytesOf(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function joined(frames: readonly string[]): Buffer | undefined {
  return frames.length > 0 ? Buffer.from(frames.join("")) : undefined;
}

/** The events of whole frames (WHATWG HTML §9.2); one without data is none. */
function eventsIn(frames: Buffer): SseEvent[] {
  return frames
    .toString()
    .split(/\r?\n\r?\n/)
    .flatMap((frame): SseEvent[] => {
      const lines = linesOf(frame).map((line) => line.replace(/\r$/, ""));
      const data = fieldOf(lines, "data");
      const event = fieldOf(lines, "event");
      return data === undefined ? [] : [event === undefined ? { data } : { event, data }];
    });
}

function fieldOf(lines: readonly string[], name: string): string | undefined {
  const values = lines.flatMap((line) => (line.startsWith(`${name}:`) ? [line.slice(name.length + 1).replace(/^ /, "")] : []));
  return values.length > 0 ? values.join("\n") : undefined;
}
