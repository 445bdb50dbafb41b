import { skipSpace } from "../json/scan-json.ts";
import { isCount, isObject, readTokenUsage, type TokenUsage } from "../usage/token-usage.ts";
import { dataOf, memberAt } from "../wire/member-at.ts";
import { errorFrame } from "../wire/openai-error.ts";
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
/** A bare quote cannot stand in what a model wrote. */
const audioName = Buffer.from('"audio"');
const finishName = Buffer.from('"finish_reason"');

/** The frame that tells the usage has no choices: it frames the content, as `[DONE]` does. */
const readChatFrame: FrameReader = (frame, data, state) => {
  if (data.startsWith("[DONE]")) {
    state.done = true;
    return "control";
  }
  if (data.startsWith('{"error"')) state.failed = true;
  state.begun ||= !state.failed && tellsAnything(frame);
  state.finished ||= tellsFinish(frame);
  state.hasSound ||= frame.includes(audioName);
  const told = frame.includes(usageName) ? memberAt(dataOf(frame), ["usage"]) : undefined;
  const usage = readUsage(told);
  if (!usage) {
    state.usageIsUnfit ||= isTold(told);
    return "content";
  }
  state.usage = usage;
  state.usageIsWhole = true;
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

/** A choice has its end. A bare quote cannot stand in a JSON string: this is a name, whatever a model wrote. */
function tellsFinish(frame: Buffer): boolean {
  for (let at = frame.indexOf(finishName); at !== -1; at = frame.indexOf(finishName, at + 1)) {
    const colon = skipSpace(frame, at + finishName.length);
    if (frame[colon] === 0x3a && frame[skipSpace(frame, colon + 1)] === 0x22) return true;
  }
  return false;
}

function usageIn(answer: Buffer): TokenUsage | undefined {
  return readUsage(memberAt(answer, ["usage"]));
}

/** Of an answer in words: figures that tell nothing of its length are none. */
function readUsage(value: unknown): TokenUsage | undefined {
  if (!isObject(value)) return undefined;
  const { completion_tokens: output, total_tokens: total } = value;
  return isCount(output) || (!isTold(output) && isCount(total)) ? readTokenUsage(value) : undefined;
}

function hasNoChoices(frame: Buffer): boolean {
  return /"choices"\s*:\s*\[\s*\]/.test(frame.toString("latin1"));
}
