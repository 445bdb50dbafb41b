import { isAskable } from "../translation/translate-call.ts";
import type { WireFormatName } from "../wire/wire-format.ts";
import type { Model } from "./catalogue.ts";
import { speaks } from "./speakers-of.ts";

/** How clients ask, and where. */
const clientFormats = [
  { name: "openai-chat", path: "/v1/chat/completions", kind: "chat", streaming: true },
  { name: "openai-responses", path: "/v1/responses", kind: "chat", streaming: true },
  { name: "anthropic-messages", path: "/v1/messages", kind: "chat", streaming: true },
  { name: "openai-embeddings", path: "/v1/embeddings", kind: "embeddings", streaming: false },
  { name: "openai-moderations", path: "/v1/moderations", kind: "moderations", streaming: false },
  { name: "openai-images", path: "/v1/images/generations", kind: "images", streaming: false },
  { name: "openai-speech", path: "/v1/audio/speech", kind: "speech", streaming: true },
  { name: "openai-transcriptions", path: "/v1/audio/transcriptions", kind: "transcriptions", streaming: true },
] as const satisfies readonly { name: WireFormatName; path: string; kind: Model["kind"]; streaming: boolean }[];

interface OfferedFormat {
  name: string;
  path: string;
  /** Bytes pass as they are. */
  native: boolean;
  streaming: boolean;
}

/** The formats in which a model can be asked. */
export function formatsOf(model: Model): OfferedFormat[] {
  return clientFormats
    .filter(({ kind, name }) => kind === model.kind && (model.upstream ? isAskable(model, name) : embedded.has(name)))
    .map(({ name, path, streaming }) => ({ name, path, streaming, native: !model.upstream || speaks(model, name) }));
}

/** What the models of the gateway itself answer. */
const embedded: ReadonlySet<string> = new Set(["openai-chat", "openai-embeddings", "openai-moderations"]);

/** Of several models under one name: those that one of them can be asked in, native where every such one speaks it. */
export function formatsOfAll(models: readonly Model[]): OfferedFormat[] {
  const found = new Map<string, OfferedFormat>();
  for (const format of models.flatMap(formatsOf)) {
    const known = found.get(format.name);
    found.set(format.name, known ? { ...known, native: known.native && format.native } : format);
  }
  return [...found.values()];
}
