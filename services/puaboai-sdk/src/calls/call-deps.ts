import { assert, type Clock, Problem } from "@nexus/core";
import {
  addLogFields,
  callerOf,
  type FastifyReply,
  type FastifyRequest,
  type KeyCaller,
  type PersonCaller,
  traceIdOf,
} from "@nexus/http";
import { keyRecordOf } from "@nexus/key-check";
import type { KeyLimits } from "@nexus/limits";
import type { Catalogue, Model } from "../catalogue/catalogue.ts";
import type { ContentLog } from "../contents/content-log.ts";
import type { UsageRow } from "../usage/usage-row.ts";
import { admitCall } from "./admit-call.ts";
import type { CallGate } from "./call-gate.ts";
import type { AnswerHooks, CallHooks, HookedCall } from "./call-hooks.ts";
import { type CallLedger, type CallOrigin, type LedgerDeps, openCallLedger } from "./call-ledger.ts";
import { credentialOf } from "./credential.ts";
import { payerOf, sessionOf } from "./payer.ts";
import type { RunningCall, RunningCalls } from "./running-calls.ts";

/** What the routes that call models need. */
export interface CallDeps extends LedgerDeps {
  clock: Clock;
  catalogue: Catalogue;
  gate: CallGate;
  limits: Pick<KeyLimits, "admit">;
  runningCalls: RunningCalls;
  /** `undefined`: calls pass as they are. */
  hooks: CallHooks | undefined;
  /** Who has what is asked and answered kept. */
  contents: Pick<ContentLog, "isOn" | "record">;
  /** Largest request body. */
  bodyLimitBytes: number;
  /** Of one with sound in it. */
  audioLimitBytes: number;
  translate(error: unknown): Problem;
  logRefusal: (fields: { provider: string; status?: number; err?: unknown }, message: string) => void;
}

export interface OpenCall {
  /** The client named this model, or this route. */
  asked(model: string, stream: boolean): void;
  /** The account of the attempt under way. */
  ledger: CallLedger;
  /** The attempt has failed, and another target is tried: with an account of its own. */
  nextAttempt(): void;
  running: RunningCall;
  caller: KeyCaller | PersonCaller;
  /** As it came, whatever its content type, or as guardrails left it. */
  body: Buffer;
  /** What the client named allows a lower output cap where a budget does not cover more. */
  mayClamp(): boolean;
  /** What is done with its answer; `undefined`: it goes to the client as it is. */
  hooks: AnswerHooks | undefined;
}

interface AskedCall {
  request: FastifyRequest;
  reply: FastifyReply;
  endpoint: UsageRow["endpoint"];
}

/**
 * Opens the account of a request and runs its work: whatever way it fails, one usage row says so. A call that the key's limits
 * refuse has no account: a flood of them costs nobody a row.
 */
export async function withLedger(deps: CallDeps, asked: AskedCall, work: (call: OpenCall) => Promise<void>): Promise<void> {
  const caller = callerOf(asked.request);
  assert(caller.kind !== "service", "the route lets no services in");
  const record = keyRecordOf(caller);
  if (!record) return await runCall(deps, { ...asked, caller }, work);
  const admitted = await admitCall(deps.limits, record, asked.reply);
  try {
    await runCall(deps, { ...asked, caller }, work);
  } finally {
    admitted.release();
  }
}

async function runCall(
  deps: CallDeps,
  { request, reply, endpoint, caller }: AskedCall & Pick<OpenCall, "caller">,
  work: (call: OpenCall) => Promise<void>,
): Promise<void> {
  const origin: CallOrigin = {
    endpoint,
    payer: payerOf(caller, sessionOf(request)),
    requestId: request.requestId,
    clientRequestId: request.clientRequestId,
    traceId: traceIdOf(request.raw),
    warn: (warning) => reply.raw.setHeader("x-nexus-budget-warning", warning),
  };
  let attempts = 1;
  let named: Parameters<OpenCall["asked"]> = ["", false];
  let hooked: HookedCall | undefined;
  const turn = deps.gate.enter();
  const running = deps.runningCalls.begin(caller, caller.kind === "key" ? credentialOf(request) : undefined);
  const call: OpenCall = {
    ledger: openCallLedger(deps, origin),
    asked: (...given) => call.ledger.asked(...(named = given)),
    nextAttempt: () => {
      call.ledger = openCallLedger(deps, { ...origin, attempt: ++attempts });
      call.ledger.asked(...named);
      hooked?.nextAttempt(call.ledger);
    },
    mayClamp: () => deps.catalogue.clampsOutput(named[0]),
    running,
    caller,
    body: Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0),
    hooks: undefined,
  };
  const content = deps.contents.isOn ? deps.contents.record(recorded(caller, { request, reply, endpoint })) : undefined;
  try {
    if (call.body.length === 0) throw new Problem("malformed_json", "the body is empty");
    if (deps.hooks) hooked = await deps.hooks.open({ request, reply, endpoint, call, catalogue: deps.catalogue });
    if (hooked) Object.assign(call, { body: hooked.body, hooks: hooked.answer });
    content?.asked(call.body);
    if (!hooked?.isAnswered) await work(call);
  } catch (error) {
    const problem = deps.translate(error);
    call.ledger.refuse(problem);
    throw problem;
  } finally {
    running.end();
    content?.callEnded();
    addLogFields(request, call.ledger.logFields());
    deps.gate.leave(turn);
  }
}

function recorded({ organizationId }: OpenCall["caller"], { request, reply, endpoint }: AskedCall) {
  return { organizationId, requestId: request.requestId, endpoint, raw: reply.raw };
}

/** The call goes to this model. @throws Problem `frozen`, `unavailable` */
export function routed({ ledger, running }: Pick<OpenCall, "ledger" | "running">, model: Model): void {
  ledger.routed(model);
  running.routed(model);
}

/** The models that a caller may use; `null`: every one. */
export function allowedModels(caller: KeyCaller | PersonCaller): readonly string[] | null {
  return caller.kind === "key" ? caller.models : null;
}
