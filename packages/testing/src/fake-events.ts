/** Answers of providers whose streams are named events: Anthropic's Messages and OpenAI's Responses. */
import type { ServerResponse } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import type { UpstreamScript } from "./fake-upstream.ts";

interface FakeEvent {
  type: string;
  [member: string]: unknown;
}

interface Options {
  texts?: string[];
  /** `null`: the provider tells no figures. */
  usage?: object | null;
  stream?: boolean;
  delayMs?: number;
  /** After that many events the connection is cut. */
  dieAfter?: number;
  /** Members that nobody here knows. */
  more?: object;
}

const messagesUsage = {
  input_tokens: 10,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 4,
  output_tokens: 7,
};
const responsesUsage = {
  input_tokens: 12,
  input_tokens_details: { cached_tokens: 2 },
  output_tokens: 9,
  output_tokens_details: { reasoning_tokens: 5 },
  total_tokens: 21,
};

/** An Anthropic message, whole or as events. */
export function messagesAnswer(options: Options = {}): UpstreamScript {
  const { texts = ["hel", "lo"], usage = messagesUsage, stream = false } = options;
  const message = {
    id: "msg_fake",
    type: "message",
    role: "assistant",
    model: "fake-model",
    stop_sequence: null,
    ...options.more,
  };
  if (!stream) {
    const content = [{ type: "text", text: texts.join("") }];
    return answerJson({ ...message, content, stop_reason: "end_turn", ...(usage ? { usage } : {}) }, options.delayMs);
  }
  const begun = usage ? { usage: { ...usage, output_tokens: 1 } } : {};
  const told = usage ? { usage: { output_tokens: (usage as { output_tokens?: number }).output_tokens } } : {};
  return answerEvents(options, [
    { type: "message_start", message: { ...message, content: [], stop_reason: null, ...begun } },
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
    { type: "ping" },
    ...texts.map((text) => ({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } })),
    { type: "content_block_stop", index: 0 },
    { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, ...told },
    { type: "message_stop" },
  ]);
}

/** An OpenAI response, whole or as events. */
export function responsesAnswer(options: Options = {}): UpstreamScript {
  const { texts = ["hel", "lo"], usage = responsesUsage, stream = false } = options;
  const text = texts.join("");
  const base = { id: "resp_fake", object: "response", created_at: 1_700_000_000, model: "fake-model", ...options.more };
  const part = { type: "output_text", text, annotations: [] };
  const item = { id: "msg_fake", type: "message", role: "assistant", status: "completed", content: [part] };
  const whole = { ...base, status: "completed", output: [item], usage };
  if (!stream) return answerJson(whole, options.delayMs);
  const at = { item_id: item.id, output_index: 0, content_index: 0 };
  const events = [
    { type: "response.created", response: { ...base, status: "in_progress", output: [], usage: null } },
    { type: "response.output_item.added", output_index: 0, item: { ...item, status: "in_progress", content: [] } },
    { type: "response.content_part.added", ...at, part: { ...part, text: "" } },
    ...texts.map((delta) => ({ type: "response.output_text.delta", ...at, delta })),
    { type: "response.output_text.done", ...at, text },
    { type: "response.completed", response: whole },
  ];
  return answerEvents(
    options,
    events.map((event, number) => ({ ...event, sequence_number: number })),
  );
}

function answerJson(document: object, delayMs = 0): UpstreamScript {
  return async (response) => {
    if (delayMs > 0) await delay(delayMs);
    response.writeHead(200, { "content-type": "application/json", "request-id": "req_provider" }).end(JSON.stringify(document));
  };
}

function answerEvents({ delayMs = 0, dieAfter }: Options, events: readonly FakeEvent[]): UpstreamScript {
  return async (response: ServerResponse) => {
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
    for (const [index, event] of events.entries()) {
      if (response.destroyed) return;
      if (index === dieAfter) {
        response.write("event: ", () => response.destroy());
        return;
      }
      response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
      if (delayMs > 0) await delay(delayMs);
    }
    response.end();
  };
}
