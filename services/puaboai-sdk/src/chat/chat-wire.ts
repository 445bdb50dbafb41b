import { errorFrame } from "../calls/openai-error.ts";
import { isObject, readTokenUsage, type TokenUsage } from "../usage/token-usage.ts";
import { dataOf, memberAt } from "../wire/member-at.ts";
import type { FrameReader } from "../wire/sse-tap.ts";
import type { WireFormat } from "../wire/wire-format.ts";

/** OpenAI's chat completions, the lingua franca of model servers. */
export const chatWire = {
  name: "openai-chat",
  path: "/chat/completions",
  findUsage: usageIn,
  withoutFigures: "text",
  openFrameReader: () => readChatFrame,
  errorFrame,
  passingRequestHeaders: [],
} as const satisfies WireFormat;

/** The same, where the frame with the usage was asked for by us and not by the client. */
export const chatWireWithOurUsage: WireFormat = {
  ...chatWire,
  openFrameReader: () => (frame, data, state) => {
    const kind = readChatFrame(frame, data, state);
    return kind === "control" && !state.done ? "ours" : kind;
  },
};

const usageName = Buffer.from('"usage"');

/** The frame that tells the usage has no choices: it frames the content, as `[DONE]` does. */
const readChatFrame: FrameReader = (frame, data, state) => {
  if (data.startsWith("[DONE]")) {
    state.done = true;
    return "control";
  }
  if (data.startsWith('{"error"')) state.failed = true;
  state.begun ||= !state.failed && tellsAnything(frame);
  const usage = frame.includes(usageName) ? usageIn(dataOf(frame)) : undefined;
  if (!usage) return "content";
  state.usage = usage;
  return hasNoChoices(frame) ? "control" : "content";
};

/** Some providers send a frame with nothing but the role as soon as they have taken the request. */
function tellsAnything(frame: Buffer): boolean {
  const choices = memberAt(dataOf(frame), ["choices"]);
  if (!Array.isArray(choices)) return false;
  return choices.some((choice: unknown) => {
    if (!isObject(choice)) return false;
    const { delta, finish_reason: reason, text } = choice;
    const told = isObject(delta) ? Object.entries(delta).filter(([name]) => name !== "role") : [];
    return isTold(reason) || isTold(text) || told.some(([, value]) => isTold(value));
  });
}

function isTold(value: unknown): boolean {
  return value !== undefined && value !== null && value !== "";
}

function usageIn(answer: Buffer): TokenUsage | undefined {
  return readTokenUsage(memberAt(answer, ["usage"]));
}

function hasNoChoices(frame: Buffer): boolean {
  return /"choices"\s*:\s*\[\s*\]/.test(frame.toString("latin1"));
}
