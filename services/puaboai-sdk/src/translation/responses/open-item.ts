import type { JsonObject } from "../../json/members.ts";
import { callItem, messageItem, reasoningItem, textPart } from "./write-responses-answer.ts";

/** One item of a streamed response, from its first event to its last. */
export interface OpenItem {
  /** What may be added to it. */
  readonly key: string;
  begun(): string[];
  add(text: string): string[];
  done(): { frames: string[]; item: JsonObject };
}

interface Place {
  frame: (name: string, members: JsonObject) => string;
  id: string;
  /** In the output. */
  index: number;
}

export function openCall(
  { key, id: callId, name }: { key: string; id: string; name: string },
  { frame, id, index }: Place,
): OpenItem {
  const at = { item_id: id, output_index: index };
  let input = "";
  const item = (status: string) => ({ id, ...callItem({ id: callId, name, input }, status) });
  return {
    key: `call ${key}`,
    begun: () => [frame("response.output_item.added", { output_index: index, item: item("in_progress") })],
    add(text) {
      input += text;
      return [frame("response.function_call_arguments.delta", { ...at, delta: text })];
    },
    done() {
      const whole = item("completed");
      const frames = [
        frame("response.function_call_arguments.done", { ...at, name, arguments: input }),
        frame("response.output_item.done", { output_index: index, item: whole }),
      ];
      return { frames, item: whole };
    },
  };
}

/** How the events of each kind of text are named, and what its part and item look like. */
const shapes = {
  text: {
    part: "response.content_part",
    text: "response.output_text",
    member: "text",
    at: { content_index: 0 },
    partOf: textPart,
    itemOf: (part: JsonObject | undefined, status: string) => messageItem(part ? [part] : [], status),
  },
  refusal: {
    part: "response.content_part",
    text: "response.refusal",
    member: "refusal",
    at: { content_index: 0 },
    partOf: (refusal: string): JsonObject => ({ type: "refusal", refusal }),
    itemOf: (part: JsonObject | undefined, status: string) => messageItem(part ? [part] : [], status),
  },
  reasoning: {
    part: "response.reasoning_summary_part",
    text: "response.reasoning_summary_text",
    member: "text",
    at: { summary_index: 0 },
    partOf: (text: string): JsonObject => ({ type: "summary_text", text }),
    itemOf: (part: JsonObject | undefined) => ({ ...reasoningItem(undefined), summary: part ? [part] : [] }),
  },
} as const;

export function openProse(kind: keyof typeof shapes, { frame, id, index }: Place): OpenItem {
  const shape = shapes[kind];
  const at = { item_id: id, output_index: index, ...shape.at };
  let said = "";
  return {
    key: kind,
    begun: () => [
      frame("response.output_item.added", { output_index: index, item: { id, ...shape.itemOf(undefined, "in_progress") } }),
      frame(`${shape.part}.added`, { ...at, part: shape.partOf("") }),
    ],
    add(text) {
      said += text;
      return [frame(`${shape.text}.delta`, { ...at, delta: text, ...(kind === "text" ? { logprobs: [] } : {}) })];
    },
    done() {
      const part = shape.partOf(said);
      const item = { id, ...shape.itemOf(part, "completed") };
      const frames = [
        frame(`${shape.text}.done`, { ...at, [shape.member]: said, ...(kind === "text" ? { logprobs: [] } : {}) }),
        frame(`${shape.part}.done`, { ...at, part }),
        frame("response.output_item.done", { output_index: index, item }),
      ];
      return { frames, item };
    },
  };
}
