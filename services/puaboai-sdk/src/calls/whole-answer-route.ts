/** Routes whose answers come whole and pass through as they are. */
import { assert } from "@nexus/core";
import type { App } from "@nexus/http";
import { boundUsage, countedInput } from "../budgets/bound-usage.ts";
import { type EmbeddedModel, type Model, requireKind } from "../catalogue/catalogue.ts";
import type { ModelKind } from "../catalogue/model-kind.ts";
import { speakersOf } from "../catalogue/speakers-of.ts";
import type { FieldReader } from "../json/read-fields.ts";
import { setMember, splice } from "../json/splice.ts";
import { noTokens } from "../usage/token-usage.ts";
import type { Units } from "../usage/units.ts";
import type { UsageRow } from "../usage/usage-row.ts";
import { readRequest } from "../wire/read-request.ts";
import type { WireFormat } from "../wire/wire-format.ts";
import { allowedModels, type CallDeps, withLedger } from "./call-deps.ts";
import type { Exchange } from "./exchange.ts";
import { forwardCall } from "./forward-call.ts";
import { tryTargets } from "./try-targets.ts";

interface WholeAnswerRoute {
  url: string;
  endpoint: UsageRow["endpoint"];
  permission: `scope:${string}`;
  summary: string;
  /** Of the reference page. */
  body: object;
  kind: ModelKind;
  wire: WireFormat;
  /** Members of the body that are looked at, beside `model`. */
  reads: readonly string[];
  /** How many answers are asked for; refuses what cannot be counted. */
  choicesIn(fields: FieldReader): number;
  /** What of it is billed beside tokens; asked after `choicesIn`. */
  unitsIn?(fields: FieldReader, choices: number): Units;
  /** Where the gateway has models of this kind itself. */
  answerLocally?: (call: Exchange & { model: EmbeddedModel; body: Buffer }) => Promise<void>;
}

export function addWholeAnswerRoute(app: App, deps: CallDeps, route: WholeAnswerRoute): void {
  const { kind, wire, endpoint } = route;
  const wanted = new Set(["model", ...route.reads]);
  app.route({
    method: "POST",
    url: route.url,
    config: { permission: route.permission, rawBody: true },
    bodyLimit: deps.bodyLimitBytes,
    schema: { summary: route.summary, tags: ["models"], body: route.body },
    handler: async (request, reply) => {
      await withLedger(deps, { request, reply, endpoint }, async (call) => {
        const { scan, fields, model: name } = readRequest(call.body, wanted);
        const choices = route.choicesIn(fields);
        const units = route.unitsIn?.(fields, choices);
        fields.finish();
        call.asked(name, false);
        const named = deps.catalogue.targets(name, allowedModels(call.caller));
        const targets: readonly Model[] = route.answerLocally ? named : speakersOf(named, wire.name);
        await tryTargets(call, targets, async (target, mayFallBack) => {
          const { ledger, running, hooks } = call;
          requireKind(target, kind);
          if (!target.upstream) {
            assert(route.answerLocally, "there are none of this kind");
            await ledger.begin(noTokens);
            return await route.answerLocally({ reply, ledger, running, hooks, model: target, body: call.body });
          }
          const [model] = speakersOf([target], wire.name);
          assert(model, "there is one, or it was refused");
          // What is sent with the words, or by their side, only the context bounds.
          const sized = { bodyBytes: call.body.length, hasMedia: true, outputCap: undefined, choices, units };
          const bound = boundUsage(sized, model);
          const body = splice(call.body, [setMember(scan, "model", JSON.stringify(model.upstreamModel))]);
          await ledger.begin(bound);
          const asked = { stream: false, mayFallBack, countedInput: countedInput(sized, bound), logRefusal: deps.logRefusal };
          await forwardCall({ reply, ledger, running, hooks, model, wire: billing(wire, units), body, ...asked });
        });
      });
      return reply;
    },
  });
}

/** An answer does not tell what was asked for, or only in words of its own. */
function billing(wire: WireFormat, units: Units | undefined): WireFormat {
  if (!units) return wire;
  return {
    ...wire,
    findUsage: (answer) => {
      const usage = wire.findUsage(answer);
      return usage && { ...usage, units: { ...units, ...usage.units } };
    },
  };
}
