/** Where its model or route allows it, a call that a budget does not cover whole is made with a lower output cap. */
import { Problem } from "@nexus/core";
import type { Model } from "../catalogue/catalogue.ts";
import type { OpenCall } from "./call-deps.ts";

/** Another call may have taken what was left; then what is left of that is asked for. */
const mostTries = 3;
/** Shorter answers are of no use, and some providers refuse such a cap. */
const fewestTokens = 16;

/**
 * @param attempt is made again with a model that writes less; rejects with `budget_exceeded` only before anything was sent
 * @param thinks tokens of its cap that the call wants for thinking
 */
export async function clampOutput<M extends Model>(
  call: Pick<OpenCall, "ledger" | "mayClamp">,
  model: M,
  attempt: (model: M) => Promise<void>,
  thinks = 0,
): Promise<void> {
  const fewest = thinks + fewestTokens;
  let fitting = model;
  for (let tries = 0; ; tries++) {
    try {
      return await attempt(fitting);
    } catch (error) {
      const left = tries < mostTries ? nanosLeft(error) : undefined;
      if (left === undefined || !call.mayClamp()) throw error;
      const tokens = call.ledger.outputWithin(left);
      if (tokens === undefined || tokens < fewest || tokens >= fitting.maxOutputTokens) throw error;
      fitting = { ...model, maxOutputTokens: tokens, isClamped: true };
    }
  }
}

/** What the budgets that refused still have for this call; `undefined`: something else has failed. */
function nanosLeft(error: unknown): bigint | undefined {
  const left = error instanceof Problem && error.code === "budget_exceeded" ? error.extensions["available_nanos"] : undefined;
  return typeof left === "string" ? BigInt(left) : undefined;
}
