import { readConverseUsage } from "../usage/converse-usage.ts";
import { dataOf, memberAt } from "../wire/member-at.ts";
import { errorFrame } from "../wire/openai-error.ts";
import type { FrameReader } from "../wire/sse-tap.ts";
import type { WireFormat } from "../wire/wire-format.ts";
import { eventStreamType, openEventStream } from "./event-stream.ts";

/**
 * Amazon Bedrock's Converse (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html). No client of the
 * gateway speaks it: calls are translated. The model stands in the path, and its streams are binary.
 */
export const converseWire = {
  name: "bedrock-converse",
  path: ({ model, stream }) => `/model/${encodeURIComponent(model)}/converse${stream ? "-stream" : ""}`,
  findUsage: (answer) => readConverseUsage(memberAt(answer, ["usage"])),
  withoutFigures: "text",
  streamType: eventStreamType,
  openDecoder: openEventStream,
  openFrameReader: () => readConverseFrame,
  errorFrame,
  passingRequestHeaders: [],
} as const satisfies WireFormat;

const eventName = /^event: (\w+)\n/;

/** The figures come after the end of the message, in the last event. */
const readConverseFrame: FrameReader = (frame, _, state) => {
  const name = eventName.exec(frame.toString("latin1", 0, 100))?.[1] ?? "";
  switch (name) {
    case "contentBlockDelta":
      state.begun ||= memberAt(dataOf(frame), ["delta", "text"]) !== "";
      return "content";
    case "contentBlockStart":
      state.begun ||= memberAt(dataOf(frame), ["start", "toolUse"]) !== undefined;
      return "content";
    case "messageStop":
      state.finished = true;
      return "control";
    case "metadata":
      state.usage = readConverseUsage(memberAt(dataOf(frame), ["usage"]));
      state.usageIsWhole = state.usage !== undefined;
      state.done = state.finished;
      return "control";
    default:
      if (name === "error" || name.endsWith("Exception")) state.failed = true;
      return "control";
  }
};
