/** Anthropic's stream of an answer (https://docs.anthropic.com/en/docs/build-with-claude/streaming). */
import type { JsonObject } from "../../json/members.ts";
import { noTokens } from "../../usage/token-usage.ts";
import { type AnswerEvent, namedFrame, type StreamOptions, type StreamWriter, type UpstreamError } from "../answer.ts";
import { messagesUsage, stopReason, writeMessagesError } from "./write-messages-answer.ts";

export function openMessagesStreamWriter(options: StreamOptions, tellFailure: () => void): StreamWriter {
  const blocks = blockWriter(options);
  let hasCalls = false;
  let failed = false;
  let usage = noTokens;
  let finish: Extract<AnswerEvent, { type: "finish" }> = { type: "finish", finish: "stop" };

  const fail = (error: UpstreamError): string[] => {
    failed = true;
    tellFailure();
    return [...blocks.start(), namedFrame("error", { error: writeMessagesError(error)["error"] })];
  };
  const end = (): string[] => {
    const told = { stop_reason: stopReason(finish.finish, hasCalls), stop_sequence: finish.stopSequence ?? null };
    const last = namedFrame("message_delta", { delta: told, usage: messagesUsage(usage) });
    return [...blocks.start(), ...blocks.close(), last, namedFrame("message_stop", {})];
  };

  return (event) => {
    if (failed) return [];
    switch (event.type) {
      case "usage":
        usage = event.usage;
        blocks.knows(usage);
        return [];
      case "finish":
        finish = event;
        return [];
      case "error":
        return fail(event.error);
      case "end":
        return end();
      case "toolCall":
        hasCalls = true;
        return blocks.begin(event.key, { type: "tool_use", id: event.id, name: event.name, input: {} });
      case "toolInput":
        // Blocks follow each other here: a piece of one that is closed can go nowhere, and half a call must not look whole.
        if (blocks.current() !== event.key) return fail(interleaved);
        return [blocks.delta({ type: "input_json_delta", partial_json: event.text })];
      default:
        return writeProse(blocks, event);
    }
  };
}

const interleaved: UpstreamError = { status: 502, message: "The model provider mixed its tool calls with each other." };

type Prose = Extract<AnswerEvent, { type: "text" | "refusal" | "reasoning" | "reasoningSignature" | "redactedReasoning" }>;

function writeProse(blocks: BlockWriter, event: Prose): string[] {
  const thinking = { type: "thinking", thinking: "", signature: "" };
  switch (event.type) {
    case "reasoning":
      return [...blocks.within("thinking", thinking), blocks.delta({ type: "thinking_delta", thinking: event.text })];
    case "reasoningSignature": {
      const signed = [
        ...blocks.within("thinking", thinking),
        blocks.delta({ type: "signature_delta", signature: event.signature }),
      ];
      // It is the last of its block: another thought has one of its own.
      return [...signed, ...blocks.close()];
    }
    case "redactedReasoning":
      return [...blocks.begin("redacted", { type: "redacted_thinking", data: event.data }), ...blocks.close()];
    default:
      return [...blocks.within("text", { type: "text", text: "" }), blocks.delta({ type: "text_delta", text: event.text })];
  }
}

type BlockWriter = ReturnType<typeof blockWriter>;

/** Blocks have a number, a start and an end, and one is open at a time. */
function blockWriter({ id, model }: StreamOptions) {
  let count = 0;
  let open: string | undefined;
  let started = false;
  let usage = noTokens;
  const start = (): string[] => {
    if (started) return [];
    started = true;
    const nothing = { content: [], stop_reason: null, stop_sequence: null };
    const message = { id, type: "message", role: "assistant", model, ...nothing, usage: messagesUsage(usage) };
    return [namedFrame("message_start", { message })];
  };
  const close = (): string[] => {
    if (open === undefined) return [];
    open = undefined;
    return [namedFrame("content_block_stop", { index: count - 1 })];
  };
  const begin = (key: string, content: JsonObject): string[] => {
    const before = [...start(), ...close()];
    open = key;
    return [...before, namedFrame("content_block_start", { index: count++, content_block: content })];
  };
  return {
    start,
    close,
    begin,
    /** The block goes on if it is open, or else begins. */
    within: (key: string, content: JsonObject): string[] => (open === key ? [] : begin(key, content)),
    delta: (delta: JsonObject): string => namedFrame("content_block_delta", { index: count - 1, delta }),
    current: () => open,
    knows(figures: typeof usage): void {
      usage = figures;
    },
  };
}
