import { Problem, type ProblemCode } from "@nexus/core";
import type { Model } from "../catalogue/catalogue.ts";
import { type OpenCall, routed } from "./call-deps.ts";
import { clampOutput } from "./clamp-output.ts";

/** Trouble that another target may not have. A budget that does not suffice or a request that is wrong is no such trouble. */
const othersTrouble: ReadonlySet<ProblemCode> = new Set(["upstream_failed", "upstream_timeout", "unavailable", "frozen"]);

/**
 * Asks one target after another until one has begun to answer: retry and fallback are this one thing. Each attempt has an account
 * of its own, and money set aside for its own price.
 * @param attempt rejects only while nothing has gone to the client; `mayFallBack`: there is a target after this one
 * @param thinks tokens of its cap that the call wants for thinking, where this model's provider refuses a cap without room for them
 */
export async function tryTargets<M extends Model>(
  call: OpenCall,
  targets: readonly M[],
  attempt: (model: M, mayFallBack: boolean) => Promise<void>,
  thinks?: (model: M) => number,
): Promise<void> {
  for (const [index, model] of targets.entries()) {
    const mayFallBack = index < targets.length - 1;
    try {
      routed(call, model);
      return await clampOutput(call, model, (fitting) => attempt(fitting, mayFallBack), thinks?.(model));
    } catch (error) {
      const isOthers = error instanceof Problem && othersTrouble.has(error.code);
      if (!mayFallBack || !isOthers || call.running.cutBy()) throw error;
      call.ledger.refuse(error);
      call.nextAttempt();
    }
  }
}
