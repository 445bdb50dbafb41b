import type { RemoteModel } from "../catalogue/catalogue.ts";
import type { UpstreamHeaders } from "../proxy/open-upstream.ts";
import { mediaTypeOf } from "../proxy/response-headers.ts";
import type { UpstreamFailure } from "../proxy/upstream-failure.ts";
import type { CallEnd } from "./call-ledger.ts";
import { collectAnswer } from "./collect-answer.ts";
import { type Exchange, watchClient } from "./exchange.ts";
import { relayStream } from "./relay-stream.ts";

/** A call whose body is ready for the provider and whose money is set aside. */
export interface ForwardedCall extends Exchange {
  model: RemoteModel;
  path: "/chat/completions" | "/embeddings";
  body: Buffer;
  /** The client wants a stream. */
  stream: boolean;
  withholdsUsageFrame: boolean;
  /** What the input is billed when the provider does not say, tokens. */
  countedInput: number;
  logRefusal(fields: { provider: string; status?: number; err?: unknown }, message: string): void;
}

/** Takes an answer apart as it comes. */
export interface AnswerSink {
  /** False asks for a pause. */
  data(chunk: Buffer): boolean;
  end(): void;
  fail(failure: UpstreamFailure): void;
  /** The client went away. */
  abandon(): void;
}

/** What a sink needs of the call. */
export interface SinkControls {
  resolve(): void;
  /** The answer is a problem; nothing was sent yet. */
  reject(problem: Error): void;
  abort(): void;
  resume(): void;
}

/**
 * Sends the call to its provider and the answer back.
 * Resolves when the client has its answer or is gone; rejects with a `Problem` when nothing was sent and the client is owed an error.
 */
export function forwardCall(call: ForwardedCall): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let sink: AnswerSink | undefined;
  let gone = false;
  const upstreamCall = call.model.upstream.post(call.path, call.body, call.ledger.requestId, {
    onHead(status, headers) {
      const controls = { resolve, reject, abort: () => upstreamCall.abort(), resume: () => upstreamCall.resume() };
      sink = isStream(call, status, headers)
        ? relayStream(call, headers, controls)
        : collectAnswer(call, { status, headers }, controls);
    },
    onData: (chunk) => sink?.data(chunk) ?? true,
    onEnd: () => sink?.end(),
    onFailure(failure) {
      call.logRefusal({ provider: call.model.provider, err: failure }, "a provider did not answer");
      if (sink) return sink.fail(failure);
      call.ledger.finish(failedEnd(call, failure));
      reject(failure.problem());
    },
  });
  watchClient(call, () => {
    if (gone) return;
    gone = true;
    upstreamCall.abort();
    if (sink) sink.abandon();
    else call.ledger.finish({ outcome: "aborted", httpStatus: null, usage: unknownUsage(call) });
    resolve();
  });
  return promise;
}

function isStream(call: ForwardedCall, status: number, headers: UpstreamHeaders): boolean {
  return call.stream && status >= 200 && status < 300 && mediaTypeOf(headers) === "text/event-stream";
}

/** The end of a call that never got its whole answer. */
export function failedEnd(call: ForwardedCall, failure: UpstreamFailure): CallEnd {
  const { status, code } = failure.problem();
  return {
    outcome: "error",
    httpStatus: status,
    errorCode: code,
    usage: failure.reached ? unknownUsage(call) : { source: "none" },
  };
}

/**
 * A stream shows what it has produced: nothing yet. What a provider did for a whole answer that was never seen nobody can tell,
 * so a hard budget is charged the most it can have been.
 */
export function unknownUsage(call: ForwardedCall): CallEnd["usage"] {
  if (!call.stream) return { source: "bound" };
  return { source: "counted", tokens: { input: call.countedInput, output: 0, cachedInput: 0, reasoning: 0 } };
}
