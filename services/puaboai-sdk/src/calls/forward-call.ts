import type { UpstreamHeaders } from "../proxy/open-upstream.ts";
import { requestPath } from "../proxy/request-path.ts";
import { isJson, mediaTypeOf } from "../proxy/response-headers.ts";
import { UpstreamFailure } from "../proxy/upstream-failure.ts";
import { collectAnswer } from "./collect-answer.ts";
import { watchClient } from "./exchange.ts";
import { type AnswerSink, cutEnd, failedEnd, type ForwardedCall, type SinkControls, unknownUsage } from "./forwarded-call.ts";
import { cutOnProblem, holdStream } from "./hold-stream.ts";
import { relayBytes } from "./relay-bytes.ts";
import { relayStream } from "./relay-stream.ts";

/**
 * Sends the call to its provider and the answer back.
 * Resolves when the client has its answer or is gone; rejects with a `Problem` when nothing was sent and the client is owed an error.
 */
export function forwardCall(call: ForwardedCall): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let sink: AnswerSink | undefined;
  let gone = false;
  const cutBy = call.running.cutBy();
  if (cutBy) throw cutBy;
  const path = requestPath(call.model.upstream.settings, call.model.upstreamModel, pathOf(call));
  const request = { path, body: call.body, headers: call.headers, requestId: call.ledger.requestId };
  const upstreamCall = call.model.upstream.post(request, {
    onHead(status, headers) {
      call.ledger.answered(status);
      const controls = { resolve, reject, abort: () => upstreamCall.abort(), resume: () => upstreamCall.resume() };
      sink = openSink(call, { status, headers }, controls);
    },
    onData: (chunk) => guarded(() => sink?.data(chunk) ?? true),
    onEnd: () => void guarded(() => sink?.end()),
    onFailure(failure) {
      call.logRefusal({ provider: call.model.provider, err: failure }, "a provider did not answer");
      if (sink) return sink.fail(failure);
      call.ledger.finish(failedEnd(call, failure));
      reject(failure.problem());
    },
  });
  /** A provider's bytes that trip us are told to the client like any other failure of the provider. */
  function guarded<T>(work: () => T): T | true {
    try {
      return work();
    } catch (cause) {
      upstreamCall.abort();
      call.logRefusal({ provider: call.model.provider, err: cause }, "a provider's answer could not be read");
      sink?.fail(new UpstreamFailure("bad_answer", true, { message: "the answer could not be read", cause }));
      return true;
    }
  }

  call.running.onCut((problem) => {
    // What is written down as complete has reached the client, or is about to.
    if (gone || call.ledger.isEnded()) return;
    upstreamCall.abort();
    if (sink) return sink.cut(problem);
    call.ledger.finish(cutEnd(call, problem));
    reject(problem);
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

function openSink(call: ForwardedCall, head: { status: number; headers: UpstreamHeaders }, controls: SinkControls): AnswerSink {
  const { status, headers } = head;
  if (isStream(call, status, headers)) return openStreamSink(call, headers, controls);
  const isAnswer = status >= 200 && status < 300 && headers["content-encoding"] === undefined;
  const passes = call.wire.passesBytes === true && !call.stream && isAnswer && !isJson(mediaTypeOf(headers));
  return passes ? relayBytes(call, head, controls) : collectAnswer(call, head, controls);
}

function openStreamSink(call: ForwardedCall, headers: UpstreamHeaders, controls: SinkControls): AnswerSink {
  if (!call.hooks) return relayStream(call, headers, controls);
  const check = call.hooks.checkStream;
  return check
    ? holdStream(call, headers, { ...controls, check })
    : cutOnProblem(relayStream(call, headers, controls), controls.abort);
}

function isStream(call: ForwardedCall, status: number, headers: UpstreamHeaders): boolean {
  const isPlain = headers["content-encoding"] === undefined || headers["content-encoding"] === "identity";
  return (
    call.stream &&
    status >= 200 &&
    status < 300 &&
    isPlain &&
    mediaTypeOf(headers) === (call.wire.streamType ?? "text/event-stream")
  );
}

function pathOf({ wire: { path }, model, stream }: ForwardedCall): string {
  return typeof path === "string" ? path : path({ model: model.upstreamModel, stream });
}
