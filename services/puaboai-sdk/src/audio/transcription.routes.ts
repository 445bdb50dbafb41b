import { TranscriptionForm } from "@nexus/contracts/gateway";
import { type FieldError, Problem } from "@nexus/core";
import type { App } from "@nexus/http";
import { boundUsage } from "../budgets/bound-usage.ts";
import { allowedModels, type CallDeps, withLedger } from "../calls/call-deps.ts";
import { forwardCall } from "../calls/forward-call.ts";
import { tryTargets } from "../calls/try-targets.ts";
import { requireKind } from "../catalogue/catalogue.ts";
import { speakersOf } from "../catalogue/speakers-of.ts";
import { transcriptionWire } from "./audio-wire.ts";
import { type FormField, readForm } from "./multipart.ts";

const longestModelName = 200;

export function addTranscriptionRoutes(app: App, deps: CallDeps): void {
  addListeningRoute(app, deps, { what: "transcriptions", summary: "OpenAI speech to text, whole or streamed" });
  addListeningRoute(app, deps, { what: "translations", summary: "OpenAI speech to English text" });
}

function addListeningRoute(app: App, deps: CallDeps, route: { what: "transcriptions" | "translations"; summary: string }): void {
  const wire = transcriptionWire(`/audio/${route.what}`);
  app.route({
    method: "POST",
    url: `/v1/audio/${route.what}`,
    config: { permission: "scope:ai:audio", rawBody: true, takesForm: true },
    bodyLimit: deps.audioLimitBytes,
    schema: { summary: route.summary, tags: ["models"], consumes: ["multipart/form-data"], body: TranscriptionForm },
    handler: async (request, reply) => {
      await withLedger(deps, { request, reply, endpoint: `audio.${route.what}` }, async (call) => {
        const contentType = request.headers["content-type"];
        const form = readListening(call.body, readForm(call.body, contentType));
        call.asked(form.model, form.stream);
        const targets = speakersOf(deps.catalogue.targets(form.model, allowedModels(call.caller)), wire.name);
        await tryTargets(call, targets, async (model, mayFallBack) => {
          const { ledger, running } = call;
          requireKind(model, "transcriptions");
          // The bytes of sound tell nothing of its tokens: the context bounds them, and the longest sound its seconds.
          const units = model.maxSeconds === undefined ? undefined : { seconds: model.maxSeconds };
          const sized = { bodyBytes: form.textBytes, hasMedia: true, hasAudio: true, outputCap: undefined, choices: 1, units };
          const bound = boundUsage(sized, model);
          await ledger.begin(bound);
          await forwardCall({
            reply,
            ledger,
            running,
            hooks: undefined,
            model,
            wire,
            body: form.withModel(model.upstreamModel),
            headers: { "content-type": contentType ?? "" },
            stream: form.stream,
            mayFallBack,
            countedInput: bound.input,
            logRefusal: deps.logRefusal,
          });
        });
      });
      return reply;
    },
  });
}

interface Listening {
  model: string;
  stream: boolean;
  /** Of what is not the sound. */
  textBytes: number;
  /** The same form, byte for byte but for the model. */
  withModel(upstreamModel: string): Buffer;
}

/** @throws Problem `invalid_request` naming every wrong field */
function readListening(body: Buffer, fields: readonly FormField[]): Listening {
  const errors: FieldError[] = [];
  const named = (name: string) => fields.filter((field) => field.name === name);
  for (const name of ["model", "file", "stream"]) {
    if (named(name).length > 1) errors.push({ pointer: `/${name}`, detail: "must stand in the form once" });
  }
  const [model] = named("model");
  const [stream] = named("stream");
  const valueOf = ({ start, end }: FormField) => body.toString("utf8", start, end);
  const modelName = model && !model.isFile && model.end - model.start <= longestModelName ? valueOf(model) : "";
  if (modelName === "") errors.push({ pointer: "/model", detail: `must be a text of 1 to ${longestModelName} characters` });
  if (!named("file")[0]?.isFile) errors.push({ pointer: "/file", detail: "must be a file" });
  if (errors.length > 0 || !model) throw new Problem("invalid_request", undefined, { errors });
  return {
    model: modelName,
    stream: stream !== undefined && /^(?:true|1)$/i.test(valueOf(stream)),
    textBytes: fields.filter(({ isFile }) => !isFile).reduce((sum, { start, end }) => sum + end - start, 0),
    withModel: (upstreamModel) =>
      Buffer.concat([body.subarray(0, model.start), Buffer.from(upstreamModel), body.subarray(model.end)]),
  };
}
