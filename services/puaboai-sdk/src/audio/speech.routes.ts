import { SpeechRequest } from "@nexus/contracts/gateway";
import { Problem } from "@nexus/core";
import type { App } from "@nexus/http";
import { boundUsage } from "../budgets/bound-usage.ts";
import { allowedModels, type CallDeps, withLedger } from "../calls/call-deps.ts";
import { forwardCall } from "../calls/forward-call.ts";
import { tryTargets } from "../calls/try-targets.ts";
import { requireKind } from "../catalogue/catalogue.ts";
import { speakersOf } from "../catalogue/speakers-of.ts";
import { type ObjectScan, valueAt } from "../json/scan-object.ts";
import { setMember, splice } from "../json/splice.ts";
import { readRequest } from "../wire/read-request.ts";
import { speechWire } from "./audio-wire.ts";

const wanted: ReadonlySet<string> = new Set(["model", "stream", "input", "stream_format"]);
const mostCharacters = 100_000;

export function addSpeechRoute(app: App, deps: CallDeps): void {
  app.route({
    method: "POST",
    url: "/v1/audio/speech",
    config: { permission: "scope:ai:audio", rawBody: true },
    bodyLimit: deps.bodyLimitBytes,
    schema: { summary: "OpenAI text to speech: the sound as it comes, or events", tags: ["models"], body: SpeechRequest },
    handler: async (request, reply) => {
      await withLedger(deps, { request, reply, endpoint: "audio.speech" }, async (call) => {
        const { scan, fields, model: name } = readRequest(call.body, wanted);
        const stream = fields.text("stream_format", 20) === "sse";
        fields.require("input");
        fields.finish();
        const characters = charactersOf(call.body, scan);
        call.asked(name, stream);
        const targets = speakersOf(deps.catalogue.targets(name, allowedModels(call.caller)), "openai-speech");
        await tryTargets(call, targets, async (model, mayFallBack) => {
          const { ledger, running } = call;
          requireKind(model, "speech");
          const sized = { bodyBytes: call.body.length, hasMedia: false, outputCap: undefined, choices: 1, units: { characters } };
          const bound = boundUsage(sized, model);
          const body = splice(call.body, [setMember(scan, "model", JSON.stringify(model.upstreamModel))]);
          await ledger.begin(bound);
          const asked = { stream, mayFallBack, countedInput: bound.input, logRefusal: deps.logRefusal };
          const wire = speechWire(characters, model.maxOutputTokens > 0);
          await forwardCall({ reply, ledger, running, hooks: undefined, model, wire, body, ...asked });
        });
      });
      return reply;
    },
  });
}

/** Of the text that is spoken, as Unicode counts them. @throws Problem `invalid_request` */
function charactersOf(body: Buffer, scan: ObjectScan): number {
  const span = scan.values.get("input");
  const text = span && span.end - span.start <= 6 * mostCharacters ? valueAt(body, span) : undefined;
  const characters = typeof text === "string" ? Array.from(text).length : 0;
  if (characters >= 1 && characters <= mostCharacters) return characters;
  throw new Problem("invalid_request", undefined, {
    errors: [{ pointer: "/input", detail: `must be a text of 1 to ${mostCharacters} characters` }],
  });
}
