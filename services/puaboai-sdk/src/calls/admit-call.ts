import { Problem } from "@nexus/core";
import { type FastifyReply, rateLimitHeaders, type RateLimitState, retryAfter } from "@nexus/http";
import type { Admitted, KeyLimits, LimitedKey, LimitRefusalCode } from "@nexus/limits";

const details: Record<LimitRefusalCode, string> = {
  rate_limited: "The key has made too many calls.",
  quota_exceeded: "The key has used up its quota.",
  concurrency_exceeded: "The key has too many calls under way.",
};

/**
 * Takes a call from the limits of the key that makes it, and tells the client how they stand, whatever comes of the call.
 * @throws Problem `rate_limited`, `quota_exceeded`, `concurrency_exceeded`; `unavailable` when nobody can tell what is left of a quota
 */
export async function admitCall(
  limits: Pick<KeyLimits, "admit">,
  key: LimitedKey,
  reply: Pick<FastifyReply, "raw">,
): Promise<Admitted> {
  const answer = limits.admit(key);
  // The usual call does not even wait for the next turn.
  const admission = answer instanceof Promise ? await answer : answer;
  if (key.limits.length > 0) {
    for (const [name, value] of Object.entries(limitHeaders(admission.states))) reply.raw.setHeader(name, value);
  }
  if (admission.admitted) return admission;
  const { code, retryAfterMs } = admission;
  throw new Problem(code, details[code], {
    headers: { ...retryAfter(retryAfterMs), "retry-after-ms": String(Math.ceil(retryAfterMs)) },
  });
}

/** The draft's headers, and those that SDKs of this dialect read: of the limit that is nearest to its end. */
function limitHeaders(states: readonly RateLimitState[]): Record<string, string> {
  const tightest = states.reduce((found, state) => (shareLeft(state) < shareLeft(found) ? state : found));
  return {
    ...rateLimitHeaders(states),
    "x-ratelimit-limit-requests": String(tightest.quota),
    "x-ratelimit-remaining-requests": String(tightest.remaining),
    "x-ratelimit-reset-requests": `${Math.ceil(tightest.resetMs)}ms`,
  };
}

function shareLeft({ remaining, quota }: RateLimitState): number {
  return remaining / quota;
}
