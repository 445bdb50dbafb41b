import type { Problem, RequestId } from "@nexus/core";
import { problemDocument } from "@nexus/http";
import { isCount, isObject, readInputOutputUsage, type TokenUsage } from "../usage/token-usage.ts";
import { dataOf, memberAt } from "../wire/member-at.ts";
import type { FrameReader } from "../wire/sse-tap.ts";
import type { WireFormat } from "../wire/wire-format.ts";

/** OpenAI's Responses API, as https://platform.openai.com/docs/api-reference/responses and …/responses-streaming describe it. */
export const responsesWire = {
  name: "openai-responses",
  path: "/responses",
  findUsage: (answer) => readUsage(memberAt(answer, ["usage"])),
  withoutFigures: "text",
  openFrameReader: () => readResponsesFrame,
  errorFrame,
  passingRequestHeaders: [],
} as const satisfies WireFormat;

/** Figures that tell nothing of the answer's length are none. */
function readUsage(value: unknown): TokenUsage | undefined {
  return isObject(value) && isCount(value["output_tokens"]) ? readInputOutputUsage(value) : undefined;
}

/** The events that end a stream; each carries the whole answer with its figures. */
const last: ReadonlySet<string> = new Set(["response.completed", "response.incomplete", "response.failed"]);

const readResponsesFrame: FrameReader = (frame, data, state) => {
  const type = typeOf(frame, data);
  if (type === undefined) return "control";
  if (type.endsWith(".delta")) {
    state.begun = true;
    return "content";
  }
  if (type === "error" || type === "response.failed") state.failed = true;
  if (last.has(type)) {
    state.done = true;
    const told = memberAt(dataOf(frame), ["response", "usage"]);
    state.usage = readUsage(told);
    state.usageIsWhole = state.usage !== undefined;
    state.usageIsUnfit = !state.usageIsWhole && isObject(told);
  }
  return "control";
};

/** The name of the event; its data says the same. */
function typeOf(frame: Buffer, data: string): string | undefined {
  const named = /^event: ?([a-z_.]+)/.exec(frame.toString("latin1", 0, 80));
  return named?.[1] ?? /^\{\s*"type"\s*:\s*"([a-z_.]+)"/.exec(data)?.[1];
}

function errorFrame(problem: Problem, requestId: RequestId): string {
  const { detail: message, title, code } = problemDocument(problem, requestId);
  const event = { type: "error", code, message: message ?? title, param: null, request_id: requestId };
  return `event: error\ndata: ${JSON.stringify(event)}\n\n`;
}
