import type { HookedRequest } from "../calls/call-hooks.ts";
import type { HookedCall } from "../calls/call-hooks.ts";
import { guardAnswer } from "../guardrails/guard-answer.ts";
import { GuardedCall, type GuardTools } from "../guardrails/guarded-call.ts";
import type { Guardrail } from "../guardrails/guardrail.ts";

/** Endpoints whose answers are words of a model. */
const written: ReadonlySet<string> = new Set(["chat.completions", "messages", "responses"]);

interface Guarding {
  guardrails: readonly Guardrail[];
  tools: GuardTools;
  /** What the client named. */
  model: string;
}

/** Lets the request through its guardrails, and has its answer go through them. @throws Problem `guardrail_blocked`, `guardrail_failed` */
export async function useGuardrails(
  { guardrails, tools, model }: Guarding,
  asked: HookedRequest,
  hooked: HookedCall,
): Promise<HookedCall> {
  const { request, reply, endpoint, call } = asked;
  const { caller } = call;
  const about = {
    requestId: request.requestId,
    endpoint,
    model,
    organizationId: caller.organizationId,
    keyId: caller.kind === "key" ? caller.keyId : null,
  };
  const guarded = new GuardedCall({ tools, reply, ledger: call.ledger, about });
  const input = guardrails.filter(({ settings }) => settings.on !== "output");
  const output = written.has(endpoint) ? guardrails.filter(({ settings }) => settings.on !== "input") : [];
  const body = input.length > 0 ? await guarded.body("input", hooked.body, input) : hooked.body;
  return {
    ...hooked,
    body,
    nextAttempt: (ledger) => guarded.moveTo(ledger),
    answer: output.length > 0 ? guardAnswer(guarded, output, hooked.answer) : hooked.answer,
  };
}
