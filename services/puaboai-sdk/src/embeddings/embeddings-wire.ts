import { chatWire } from "../chat/chat-wire.ts";
import { findUsage } from "../usage/find-usage.ts";
import type { WireFormat } from "../wire/wire-format.ts";

/** OpenAI's embeddings: numbers, never streamed. */
export const embeddingsWire: WireFormat = {
  ...chatWire,
  name: "openai-embeddings",
  path: "/embeddings",
  // A hundred megabytes of numbers are not read for a few figures at their end; they repeat nothing that a client wrote.
  findUsage,
  withoutFigures: "input",
};
