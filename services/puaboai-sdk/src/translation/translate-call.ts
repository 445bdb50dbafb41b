/** From what a client asked to what its provider is sent. */
import type { ForwardedCall } from "../calls/forwarded-call.ts";
import type { Model, RemoteModel } from "../catalogue/catalogue.ts";
import { speakersOf, speaks } from "../catalogue/speakers-of.ts";
import { chatWire } from "../chat/chat-wire.ts";
import { converseWire } from "../converse/converse-wire.ts";
import { geminiWire } from "../gemini/gemini-wire.ts";
import { messagesWire } from "../messages/messages-wire.ts";
import { responsesWire } from "../responses/responses-wire.ts";
import type { WireFormatName } from "../wire/wire-format.ts";
import { type Translation, openTranslation } from "./open-translation.ts";

/** The formats that clients speak and that are translated. */
const clientWires = [chatWire, messagesWire, responsesWire] as const;
type ClientWire = (typeof clientWires)[number];

/** What they are translated into, the most spoken first. */
const wires = [...clientWires, geminiWire, converseWire] as const;
type TranslatedWire = (typeof wires)[number];

/** Those that can be asked, as they are or translated: of a route, the others are left out. @throws Problem `invalid_request` */
export function askable(targets: readonly Model[], client: ClientWire): readonly RemoteModel[] {
  const asked = targets.filter((model): model is RemoteModel => wires.some((wire) => speaks(model, wire.name)));
  return asked.length > 0 ? asked : speakersOf(targets, client.name);
}

/** Whether a client of this format can be served: by the provider itself, or translated. */
export function isAskable(model: Model, format: WireFormatName): model is RemoteModel {
  return (
    speaks(model, format) || (clientWires.some(({ name }) => name === format) && wires.some((wire) => speaks(model, wire.name)))
  );
}

interface Asked {
  body: Buffer;
  /** As the client named it. */
  model: string;
  outputCap: number | undefined;
  includeUsage: boolean;
  id: string;
  /** Unix seconds. */
  created: number;
}

/** `undefined`: the provider speaks the client's format, and bytes pass as they are. @throws Problem `invalid_request` */
export function translateCall(
  client: ClientWire,
  target: RemoteModel,
  { outputCap, ...asked }: Asked,
): (Pick<ForwardedCall, "wire" | "body"> & { translation: Translation }) | undefined {
  const spoken = target.upstream.settings.wireFormats;
  if (spoken.includes(client.name)) return undefined;
  const wire: TranslatedWire = wires.find(({ name }) => spoken.includes(name)) ?? client;
  const mostTokens = Math.min(outputCap ?? target.maxOutputTokens, target.maxOutputTokens);
  const { upstreamModel } = target;
  const translation = openTranslation({
    ...asked,
    client,
    upstream: wire.name,
    upstreamModel,
    mostTokens,
    adapt: adapterOf(target, wire),
  });
  return { wire, body: translation.body, translation };
}

/** What is set aside for a call holds only for a cap that the provider acts on; and an older server refuses to tell its usage. */
function adapterOf({ upstream }: RemoteModel, wire: TranslatedWire): (body: Record<string, unknown>) => Record<string, unknown> {
  if (wire.name !== "openai-chat") return (body) => body;
  const { outputCapField, takesStreamOptions } = upstream.settings;
  return ({ max_tokens: one, max_completion_tokens: other, stream_options: options, ...body }) => ({
    ...body,
    [outputCapField]: one ?? other,
    ...(takesStreamOptions && options !== undefined ? { stream_options: options } : {}),
  });
}
