/** Puts together what stands around calls: guardrails on what goes in and comes out, and answers that are kept. */
import type { Environment } from "@nexus/config";
import type { Clock } from "@nexus/core";
import type { RedisTarget } from "@nexus/redis";
import type { Logger, Metrics } from "@nexus/telemetry";
import type { CacheRule } from "../cache/cache-settings.ts";
import { type AnswerCache, openAnswerCache } from "../cache/open-answer-cache.ts";
import { allowedModels } from "../calls/call-deps.ts";
import { asItIs, type CallHooks, type HookedCall } from "../calls/call-hooks.ts";
import type { GuardTools } from "../guardrails/guarded-call.ts";
import { openGuardrails } from "../guardrails/open-guardrails.ts";
import type { GatewaySettings } from "../settings/gateway-settings.ts";
import type { UsageRow } from "../usage/usage-row.ts";
import { readRequest } from "../wire/read-request.ts";
import { useCache } from "./use-cache.ts";
import { useGuardrails } from "./use-guardrails.ts";

export interface HookTools {
  /** `undefined`: this installation has no Redis, and keeps no answers. */
  redis: RedisTarget | undefined;
  /** Where the secrets of guardrails are looked up. */
  environment: Environment;
  /** What keys of ours are derived from. */
  secret: string;
  clock: Clock;
  logger: Logger;
  metrics: Metrics;
}

/** Forms carry sound, which nobody here looks into. By the route, as a content type is what a client says. */
const forms: ReadonlySet<string> = new Set<UsageRow["endpoint"]>(["audio.transcriptions", "audio.translations"]);
/** Answers that are passed on as they come, and not kept. */
const unkept: ReadonlySet<string> = new Set<UsageRow["endpoint"]>(["audio.speech"]);
const common: ReadonlySet<string> = new Set(["model", "stream"]);

/**
 * `undefined` where the configuration asks for none: calls then pass without a look.
 * @throws ConfigError when a guardrail's secret is missing
 */
export function openCallHooks(settings: GatewaySettings, tools: HookTools): CallHooks | undefined {
  const all = openGuardrails(settings.guardrails, tools.environment, tools.clock);
  const cache = openCache(settings, tools);
  if (!cache && settings.guardrails.length === 0) return undefined;
  const rules = cacheRules(settings);
  const guarding = guardTools(tools);
  return {
    open: async (asked) => {
      const { catalogue, call } = asked;
      if (forms.has(asked.endpoint)) return undefined;
      const { model: name, stream, fields } = readRequest(call.body, common);
      fields.finish();
      call.asked(name, stream);
      const found = catalogue.find(name, allowedModels(call.caller));
      const targets = "targets" in found ? found.targets.map(({ model }) => model) : [found];
      const guardrails = all.of(new Set([name, ...targets.map(({ id }) => id)]), call.caller.organizationId);
      const rule = cache && !unkept.has(asked.endpoint) ? rules.get(name) : undefined;
      if (!rule && guardrails.length === 0) return undefined;
      const plain: HookedCall = { body: call.body, isAnswered: false, nextAttempt: () => {}, answer: asItIs };
      const hooked =
        guardrails.length > 0 ? await useGuardrails({ guardrails, tools: guarding, model: name }, asked, plain) : plain;
      if (!rule || !cache) return hooked;
      return await useCache({ cache, rule, now: () => tools.clock.now() }, { ...asked, hooked, targets, guardrails, stream });
    },
    close: async () => {
      await Promise.all([cache?.close(), all.close()]);
    },
  };
}

function guardTools({ metrics, logger }: HookTools): GuardTools {
  const counter = metrics.counter({
    name: "nexus_gateway_guardrail_total",
    help: "what guardrails did with what they judged",
    labelNames: ["guardrail", "did"],
  });
  return { logger, count: (guardrail, did) => counter.inc({ guardrail, did }) };
}

function openCache(settings: GatewaySettings, { redis, metrics, ...tools }: HookTools): AnswerCache | undefined {
  if (cacheRules(settings).size === 0) return undefined;
  if (!redis) {
    tools.logger.warn({}, "gateway.yaml asks to keep answers, but there is no Redis to keep them in");
    return undefined;
  }
  const counter = metrics.counter({
    name: "nexus_gateway_answer_cache_total",
    help: "what became of look-ups of kept answers, and of keeping them",
    labelNames: ["event"],
  });
  return openAnswerCache({ ...tools, target: redis, bounds: settings.cacheBounds, count: (event) => counter.inc({ event }) });
}

function cacheRules({ models, routes }: GatewaySettings): Map<string, CacheRule> {
  return new Map([...models, ...routes].flatMap(({ id, cache }): [string, CacheRule][] => (cache ? [[id, cache]] : [])));
}
