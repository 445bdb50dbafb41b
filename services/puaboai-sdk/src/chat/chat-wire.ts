import { errorFrame } from "../calls/openai-error.ts";
import { readTokenUsage, type TokenUsage } from "../usage/token-usage.ts";
import { dataOf, memberAt } from "../wire/member-at.ts";
import type { FrameReader } from "../wire/sse-tap.ts";
import type { WireFormat } from "../wire/wire-format.ts";

/** OpenAI's chat completions, the lingua franca of model servers. */
export const chatWire: WireFormat = {
  name: "openai-chat",
  path: "/chat/completions",
  findUsage: usageIn,
  answersText: true,
  openFrameReader: () => readChatFrame,
  errorFrame,
  passingRequestHeaders: [],
};

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
  const usage = frame.includes(usageName) ? usageIn(dataOf(frame)) : undefined;
  if (!usage) return "content";
  state.usage = usage;
  return hasNoChoices(frame) ? "control" : "content";
};

function usageIn(answer: Buffer): TokenUsage | undefined {
  return readTokenUsage(memberAt(answer, ["usage"]));
}

function hasNoChoices(frame: Buffer): boolean {
  return /"choices"\s*:\s*\[\s*\]/.test(frame.toString("latin1"));
}
