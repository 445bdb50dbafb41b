import { isCount, isObject, noTokens, type TokenUsage } from "../usage/token-usage.ts";
import { dataOf, memberAt } from "../wire/member-at.ts";
import type { FrameReader } from "../wire/sse-tap.ts";
import type { WireFormat } from "../wire/wire-format.ts";
import { messagesErrorFrame } from "./messages-error.ts";
import { mergeUsage } from "./read-usage.ts";

/** Anthropic's Messages API, as https://docs.anthropic.com/en/api/messages and …/messages-streaming describe it. */
export const messagesWire = {
  name: "anthropic-messages",
  path: "/messages",
  findUsage,
  withoutFigures: "text",
  openFrameReader: () => readMessagesFrame,
  errorFrame: messagesErrorFrame,
  passingRequestHeaders: ["anthropic-version", "anthropic-beta"],
} as const satisfies WireFormat;

/** Figures that tell nothing of the answer's length are none. */
function findUsage(answer: Buffer): TokenUsage | undefined {
  const told = memberAt(answer, ["usage"]);
  return isObject(told) && isCount(told["output_tokens"]) ? mergeUsage(undefined, told) : undefined;
}

/** Counts tokens before a call; answers with no usage of its own, and costs nothing. */
export const countTokensWire: WireFormat = {
  ...messagesWire,
  path: "/messages/count_tokens",
  findUsage: () => noTokens,
  withoutFigures: "input",
};

/** Where the events hold figures. */
const usagePlaces: Readonly<Record<string, readonly string[]>> = {
  message_start: ["message", "usage"],
  message_delta: ["usage"],
};

const readMessagesFrame: FrameReader = (frame, data, state) => {
  const type = typeOf(frame, data);
  if (type === "content_block_delta") {
    state.begun = true;
    return "content";
  }
  if (type === "error") state.failed = true;
  if (type === "message_stop") state.done = true;
  const place = type === undefined ? undefined : usagePlaces[type];
  const told = place && memberAt(dataOf(frame), place);
  state.usage = mergeUsage(state.usage, told);
  // The beginning tells the input; what was written is known when the end says so.
  if (type === "message_delta" && isObject(told)) {
    state.usageIsWhole = isCount(told["output_tokens"]) && state.usage !== undefined;
    state.usageIsUnfit = !state.usageIsWhole;
  }
  return "control";
};

/** The name of the event; its data says the same. */
function typeOf(frame: Buffer, data: string): string | undefined {
  const named = /^event: ?([a-z_]+)/.exec(frame.toString("latin1", 0, 40));
  return named?.[1] ?? /^\{\s*"type"\s*:\s*"([a-z_]+)"/.exec(data)?.[1];
}
