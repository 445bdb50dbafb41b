import type { FastifyRequest } from "@nexus/http";
import type { CacheRule } from "../cache/cache-settings.ts";
import { keepAnswer } from "../cache/keep-answer.ts";
import type { AnswerCache } from "../cache/open-answer-cache.ts";
import { replayAnswer } from "../cache/replay-answer.ts";
import type { HookedCall, HookedRequest } from "../calls/call-hooks.ts";
import type { Model } from "../catalogue/catalogue.ts";
import type { Guardrail } from "../guardrails/guardrail.ts";
import { messagesWire } from "../messages/messages-wire.ts";
import { passingRequestHeaders } from "../wire/passing-request-headers.ts";
import { stateIn } from "./stateful-request.ts";

interface CacheUse {
  cache: AnswerCache;
  rule: CacheRule;
  now: () => number;
}

interface CachedRequest extends HookedRequest {
  hooked: HookedCall;
  targets: readonly Model[];
  guardrails: readonly Guardrail[];
  stream: boolean;
}

/** Answers the call from the cache, or has its answer kept. */
export async function useCache({ cache, rule, now }: CacheUse, asked: CachedRequest): Promise<HookedCall> {
  const { request, reply, endpoint, call, hooked, targets, guardrails } = asked;
  const wish = wishOf(request);
  if (wish === "none" || stateIn(hooked.body)) return hooked;
  const kind = asked.stream ? "stream" : "whole";
  const place = cache.placeOf({
    organizationId: call.caller.organizationId,
    endpoint,
    circumstances: [
      targets.map(factsOf),
      passingRequestHeaders(request, messagesWire) ?? {},
      guardrails.map(({ settings }) => settings),
    ],
    body: hooked.body,
  });
  const answer = wish === "fresh" ? undefined : await cache.find(place, kind);
  if (answer && replayAnswer({ call, reply, answer, targets, now: now() })) return { ...hooked, isAnswered: true };
  reply.raw.setHeader("x-nexus-cache", "miss");
  const put = (found: Parameters<AnswerCache["put"]>[2]): void => cache.put(place, rule.ttlSeconds, found);
  return { ...hooked, answer: keepAnswer({ maxBytes: rule.maxBytes, put }, hooked.answer) };
}

/** What the client says of caches (RFC 9111 §5.2.1). */
function wishOf({ headers }: FastifyRequest): "none" | "fresh" | "any" {
  const said = (headers["cache-control"] ?? "").toLowerCase();
  if (/\bno-store\b/.test(said)) return "none";
  return /\bno-cache\b/.test(said) ? "fresh" : "any";
}

/** What of a target changes its answers. */
function factsOf({ id, upstreamModel, maxOutputTokens, price, upstream }: Model): unknown {
  const { baseUrl, headers, outputCapField, takesStreamOptions, wireFormats } = upstream?.settings ?? {};
  const isPriced = price !== "free";
  return [id, upstreamModel, maxOutputTokens, isPriced, baseUrl, headers, outputCapField, takesStreamOptions, wireFormats];
}
