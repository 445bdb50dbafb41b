import { Problem } from "@nexus/core";
import { scanObject } from "../json/scan-object.ts";
import type { UpstreamHeaders } from "../proxy/open-upstream.ts";
import { isJson, mediaTypeOf, passingHeaders } from "../proxy/response-headers.ts";
import { troubleOf, UpstreamFailure } from "../proxy/upstream-failure.ts";
import { isObject, noTokens } from "../usage/token-usage.ts";
import { growingBuffer } from "../wire/growing-buffer.ts";
import { isObjectText, memberAt } from "../wire/member-at.ts";
import type { CallEnd } from "./call-ledger.ts";
import { answerHeaders, sendWhole } from "./exchange.ts";
import {
  type AnswerSink,
  cutEnd,
  failedEnd,
  type ForwardedCall,
  missingFigures,
  type SinkControls,
  unknownUsage,
} from "./forwarded-call.ts";

// 2,048 embeddings of 3,072 numbers are about 130 MB of text; more is no answer.
const largestAnswer = 160 * 1024 * 1024;

/** Statuses that speak of our account at the provider, not of the client's request: 401, 402, 403, 407. */
const ourTrouble: ReadonlySet<number> = new Set([401, 402, 403, 407]);

/** Another target may have time: 408, 429. */
const busy: ReadonlySet<number> = new Set([408, 429]);

interface AnswerHead {
  status: number;
  headers: UpstreamHeaders;
}

/** Gathers a whole answer, reads what it cost and sends it on byte for byte, head and body together. */
export function collectAnswer(call: ForwardedCall, head: AnswerHead, controls: SinkControls): AnswerSink {
  const gathered = growingBuffer();
  let isOver = false;
  /** Whole, and being looked at. */
  let checked: CallEnd | undefined;

  function fail(failure: UpstreamFailure, usage?: CallEnd["usage"]): void {
    if (isOver) return;
    isOver = true;
    gathered.take();
    call.ledger.finish({ ...failedEnd(call, failure), ...(usage ? { usage } : chargeless(head)) });
    controls.reject(failure.problem());
  }

  return {
    data(chunk) {
      call.ledger.firstByte();
      gathered.push(chunk);
      if (gathered.size() > largestAnswer) {
        controls.abort();
        fail(new UpstreamFailure("bad_answer", true, { message: "the answer is too large" }));
      }
      return true;
    },
    end() {
      const body = gathered.take() ?? Buffer.alloc(0);
      const end = endOf(call, head, body);
      const fault = end?.outcome === "ok" ? faultOf(call, end.usage, body) : undefined;
      if (fault) return fail(new UpstreamFailure(fault.trouble, true, fault), fault.usage);
      const told = end && inClientsFormat(call, head, body);
      if (end && !told) {
        fail(new UpstreamFailure("bad_answer", true, { message: "an answer in another shape" }));
      } else if (end?.outcome === "ok" && told && call.hooks?.checkWhole) {
        checked = end;
        void sendChecked(call, head, { body: told, end, check: call.hooks.checkWhole, controls });
      } else if (end && told) {
        sendOn(call, head, { body: told, end }).then(controls.resolve, (cause: unknown) => fail(unsent(cause)));
      } else if (head.status >= 200 && head.status < 300) {
        const message = `an answer of type ${mediaTypeOf(head.headers) || "nothing"}`;
        fail(new UpstreamFailure("bad_answer", true, { message }));
      } else {
        controls.reject(refuse(call, head));
      }
    },
    fail,
    abandon() {
      call.ledger.finish({
        outcome: "aborted",
        httpStatus: null,
        usage: checked?.usage ?? unknownUsage(call),
        ...chargeless(head),
      });
    },
    cut(problem) {
      call.ledger.finish({ ...cutEnd(call, problem), ...(checked && { usage: checked.usage }), ...chargeless(head) });
      controls.reject(problem);
    },
  };
}

function unsent(cause: unknown): UpstreamFailure {
  return new UpstreamFailure("bad_answer", true, { message: "the answer could not be sent on", cause });
}

/** A provider that has refused has done no work. */
function chargeless(head: AnswerHead): { usage?: CallEnd["usage"] } {
  return head.status >= 400 ? { usage: { source: "none" } } : {};
}

/** How the call ends when the client gets this very answer; `undefined` when it must not. */
function endOf(call: ForwardedCall, head: AnswerHead, body: Buffer): CallEnd | undefined {
  const { status, headers } = head;
  if (!isJson(mediaTypeOf(headers)) || headers["content-encoding"] !== undefined) return undefined;
  if (status >= 200 && status < 300) return answeredEnd(call, status, body);
  if (status < 400 || status >= 500 || ourTrouble.has(status) || (call.mayFallBack && busy.has(status))) return undefined;
  return {
    outcome: "error",
    httpStatus: status,
    errorCode: "upstream_refused",
    failure: troubleOf(status),
    usage: { source: "none" },
  };
}

function answeredEnd(call: ForwardedCall, status: number, body: Buffer): CallEnd {
  const usage = usageOf(call, body);
  // Moderations never tell figures; and where they were found, nothing need be looked for again.
  const mayMiss = usage.source !== "provider" && call.wire.withoutFigures !== "input";
  const reason = mayMiss ? missingFigures(usage.source, tellsUsage(body)) : undefined;
  return { outcome: "ok", httpStatus: status, ...(reason === undefined ? {} : { errorCode: reason }), usage };
}

function tellsUsage(body: Buffer): boolean {
  return isObject(memberAt(body, ["usage"]));
}

/** What an answer has, of one format or another. */
const answerNames: ReadonlySet<string> = new Set(["choices", "content", "output", "data", "results", "candidates"]);
const looksFor: ReadonlySet<string> = new Set(["error", ...answerNames]);

/** Why a body is no answer to this call, although the provider says that all is well. */
function faultOf(
  call: ForwardedCall,
  usage: CallEnd["usage"],
  body: Buffer,
): { trouble: "bad_answer" | "error_in_answer"; message: string; usage?: CallEnd["usage"] } | undefined {
  // Its figures are what a client would have paid for; but no client that waits for a stream can read it.
  if (call.stream) {
    const message = "a whole answer where a stream was asked for";
    return { trouble: "bad_answer", message, ...(isObjectText(body) ? { usage } : {}) };
  }
  // Who found figures has read the text.
  if (usage.source === "provider" && usage.tokens.input > 0) return undefined;
  try {
    const { values } = scanObject(body, { wanted: looksFor });
    const error = values.get("error");
    const isError = error && body[error.start] === 0x7b && ![...answerNames].some((name) => values.has(name));
    if (!isError) return undefined;
    return { trouble: "error_in_answer", message: "an error with a status of success", usage: { source: "none" } };
  } catch (cause) {
    if (cause instanceof Problem) return { trouble: "bad_answer", message: "an answer that is no JSON object" };
    throw cause;
  }
}

/** `undefined` for an answer that is none. */
function inClientsFormat(
  { translation, wire, logRefusal, model }: ForwardedCall,
  head: AnswerHead,
  body: Buffer,
): Buffer | undefined {
  if (!translation) return body;
  try {
    return head.status < 400 ? translation.answer(body) : translation.refusal(head.status, body);
  } catch (err) {
    logRefusal({ provider: model.provider, err }, `a provider answered in no ${wire.name}`);
    return undefined;
  }
}

async function sendOn(call: ForwardedCall, head: AnswerHead, { body, end }: { body: Buffer; end: CallEnd }): Promise<void> {
  // The account is written down before the client can have its last byte.
  const cost = await call.ledger.finishSoon(end);
  const headers = { ...passingHeaders(head.headers), ...answerHeaders(call) };
  if (end.outcome === "ok" && head.status === 200) call.hooks?.keepWhole(call.model, headers, body);
  sendWhole(call, head.status, { headers: { ...headers, "x-nexus-cost-nanos": cost.toString() }, body });
}

interface CheckedAnswer {
  body: Buffer;
  end: CallEnd;
  check: (answer: Buffer) => Promise<Buffer>;
  controls: SinkControls;
}

/** Sends on what the check leaves; an answer that may not go is paid for all the same. */
async function sendChecked(call: ForwardedCall, head: AnswerHead, { body, end, check, controls }: CheckedAnswer): Promise<void> {
  try {
    const passed = await check(body);
    // Cut meanwhile, or its client is gone.
    if (call.ledger.isEnded()) return;
    await sendOn(call, head, { body: passed, end });
    controls.resolve();
  } catch (error) {
    const problem = error instanceof Problem ? error : new Problem("internal", undefined, { cause: error });
    call.ledger.finish({ ...end, outcome: "error", httpStatus: problem.status, errorCode: problem.code });
    controls.reject(problem);
  }
}

/** A provider's trouble is told as ours: its text may hold what is only for us. */
function refuse(call: ForwardedCall, head: AnswerHead): Problem {
  call.logRefusal({ provider: call.model.provider, status: head.status }, "a provider refused a call");
  const retryAfter = head.headers["retry-after"];
  const problem = new Problem("upstream_failed", undefined, {
    cause: new Error(`the provider answered ${head.status}`),
    headers: typeof retryAfter === "string" && /^\d{1,6}$/.test(retryAfter) ? { "retry-after": retryAfter } : {},
  });
  const failure = troubleOf(head.status);
  call.ledger.finish({
    outcome: "error",
    httpStatus: problem.status,
    errorCode: problem.code,
    failure,
    usage: { source: "none" },
  });
  return problem;
}

function usageOf(call: ForwardedCall, body: Buffer): CallEnd["usage"] {
  const tokens = call.wire.findUsage(body);
  const { withoutFigures } = call.wire;
  // No text is written for no input: such figures are a stand-in.
  if (tokens && (withoutFigures !== "text" || tokens.input > 0)) return { source: "provider", tokens };
  if (withoutFigures === "bound") return { source: "bound" };
  const output = withoutFigures === "text" ? Math.ceil(body.length / 3) : 0;
  return { source: "counted", tokens: { ...noTokens, input: call.countedInput, output } };
}
