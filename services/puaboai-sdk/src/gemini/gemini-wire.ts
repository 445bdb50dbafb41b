import { readGeminiUsage } from "../usage/gemini-usage.ts";
import { isObject } from "../usage/token-usage.ts";
import { dataOf, memberAt } from "../wire/member-at.ts";
import { errorFrame } from "../wire/openai-error.ts";
import type { FrameReader } from "../wire/sse-tap.ts";
import type { WireFormat } from "../wire/wire-format.ts";

/**
 * Google's generateContent (https://ai.google.dev/api/generate-content). No client of the gateway speaks it: calls are translated.
 * The model stands in the path, and the method says whether a stream is wanted.
 */
export const geminiWire = {
  name: "gemini",
  path: ({ model, stream }) =>
    `/models/${encodeURIComponent(model)}${stream ? ":streamGenerateContent?alt=sse" : ":generateContent"}`,
  findUsage: (answer) => readGeminiUsage(memberAt(answer, ["usageMetadata"])),
  withoutFigures: "text",
  openFrameReader: () => readGeminiFrame,
  errorFrame,
  passingRequestHeaders: [],
} as const satisfies WireFormat;

/** Each frame is an answer with the next piece; the one that tells why it ended is the last, and no frame says so. */
const readGeminiFrame: FrameReader = (frame, _, state) => {
  const data = dataOf(frame);
  if (memberAt(data, ["error"]) !== undefined) {
    state.failed = true;
    return "control";
  }
  const candidates = memberAt(data, ["candidates"]);
  const [candidate] = Array.isArray(candidates) ? (candidates as unknown[]) : [];
  state.begun ||= tellsAnything(candidate);
  const blocked = memberAt(data, ["promptFeedback", "blockReason"]) !== undefined;
  state.finished ||= blocked || (isObject(candidate) && typeof candidate["finishReason"] === "string");
  const usage = readGeminiUsage(memberAt(data, ["usageMetadata"]));
  // The figures of a piece are those of the answer up to there.
  if (usage) {
    state.usage = usage;
    state.usageIsWhole = state.finished;
  }
  return "content";
};

function tellsAnything(candidate: unknown): boolean {
  const content = isObject(candidate) ? candidate["content"] : undefined;
  const parts = isObject(content) ? content["parts"] : undefined;
  return Array.isArray(parts) && parts.some((part: unknown) => isObject(part) && part["text"] !== "");
}
