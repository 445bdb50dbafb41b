/** OpenAI's stream of a response (https://platform.openai.com/docs/api-reference/responses-streaming). */
import type { JsonObject } from "../../json/members.ts";
import type { TokenUsage } from "../../usage/token-usage.ts";
import {
  type AnswerEvent,
  type FinishReason,
  namedFrame,
  type StreamOptions,
  type StreamWriter,
  type UpstreamError,
} from "../answer.ts";
import { type OpenItem, openCall, openProse } from "./open-item.ts";
import { itemId, type ItemKind, responseObject, responsesUsage, stateOf } from "./write-responses-answer.ts";

/** The end of such a stream tells all of its texts again, so they are kept until then: this many characters of them. */
const longestTexts = 32 * 1024 * 1024;

/** Throws when the provider writes more than can be kept. */
export function openResponsesStreamWriter(options: StreamOptions, tellFailure: () => void): StreamWriter {
  const frame = frameWriter();
  const items = itemWriter(options, frame);
  let usage: TokenUsage | undefined;
  let finish: FinishReason = "stop";
  let failed = false;
  let kept = 0;

  const fail = (error: UpstreamError): string[] => {
    failed = true;
    tellFailure();
    return [...items.start(), frame("error", { code: error.code ?? "server_error", message: error.message, param: null })];
  };
  const end = (): string[] => {
    const before = [...items.start(), ...items.close()];
    const state = stateOf(finish);
    const response = responseObject(options, { ...state, output: items.output, usage: usage && responsesUsage(usage) });
    return [...before, frame(`response.${state.status}`, { response })];
  };

  return (event) => {
    if (failed) return [];
    if ("text" in event) kept += event.text.length;
    if (kept > longestTexts) throw new RangeError("more text than the end of the stream could tell again");
    switch (event.type) {
      case "text":
      case "refusal":
      case "reasoning":
        return items.prose(event);
      case "toolCall":
        return items.call(event);
      case "toolInput":
        return items.callInput(event) ?? fail(interleaved);
      case "usage":
        usage = event.usage;
        return [];
      case "finish":
        finish = event.finish;
        return [];
      case "error":
        return fail(event.error);
      case "end":
        return end();
      default:
        return [];
    }
  };
}

const interleaved: UpstreamError = { status: 502, message: "The model provider mixed its tool calls with each other." };

type FrameWriter = ReturnType<typeof frameWriter>;

/** Every event has its number in the stream. */
function frameWriter() {
  let sequence = 0;
  return (name: string, members: JsonObject): string => namedFrame(name, { sequence_number: sequence++, ...members });
}

/** The items of the output follow each other: one is open at a time. */
function itemWriter(options: StreamOptions, frame: FrameWriter) {
  const output: JsonObject[] = [];
  let open: OpenItem | undefined;
  let started = false;
  const start = (): string[] => {
    if (started) return [];
    started = true;
    const response = responseObject(options, { status: "in_progress", output: [] });
    return [frame("response.created", { response }), frame("response.in_progress", { response })];
  };
  const close = (): string[] => {
    if (!open) return [];
    const { frames, item } = open.done();
    output.push(item);
    open = undefined;
    return frames;
  };
  const begin = (kind: ItemKind, openAt: (place: { frame: FrameWriter; id: string; index: number }) => OpenItem): string[] => {
    const before = [...start(), ...close()];
    open = openAt({ frame, id: itemId(kind, options.id, output.length), index: output.length });
    return [...before, ...open.begun()];
  };
  return {
    output,
    start,
    close,
    prose({ type, text }: Extract<AnswerEvent, { type: "text" | "refusal" | "reasoning" }>): string[] {
      const kind = type === "reasoning" ? "reasoning" : "message";
      const before = open?.key === type ? [] : begin(kind, (place) => openProse(type, place));
      return [...before, ...(open?.add(text) ?? [])];
    },
    call: (event: Extract<AnswerEvent, { type: "toolCall" }>): string[] =>
      begin("function_call", (place) => openCall(event, place)),
    /** `undefined` for a piece of a call that is done: it can go nowhere, and half a call must not look whole. */
    callInput: ({ key, text }: Extract<AnswerEvent, { type: "toolInput" }>): string[] | undefined =>
      open?.key === `call ${key}` ? open.add(text) : undefined,
  };
}
