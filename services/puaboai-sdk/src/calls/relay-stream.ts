import type { ServerResponse } from "node:http";
import type { Problem } from "@nexus/core";
import type { UpstreamHeaders } from "../proxy/open-upstream.ts";
import { passingHeaders } from "../proxy/response-headers.ts";
import { UpstreamFailure } from "../proxy/upstream-failure.ts";
import { noTokens } from "../usage/token-usage.ts";
import { type SseState, type SseTap, sseTap } from "../wire/sse-tap.ts";
import type { StreamHooks } from "./call-hooks.ts";
import type { CallEnd } from "./call-ledger.ts";
import { answerHeaders, streamHeaders, takeOver } from "./exchange.ts";
import type { AnswerSink, ForwardedCall, SinkControls } from "./forwarded-call.ts";

/**
 * Hands a stream on frame by frame. The head leaves together with the first frame; before that a failure is still an ordinary
 * error answer, after it a last frame says so and the stream ends without its proper end. While another target could be asked,
 * frames that tell nothing yet (a role, a ping) wait for the first that does.
 */
export function relayStream(call: ForwardedCall, headers: UpstreamHeaders, controls: SinkControls): AnswerSink {
  const tap = sseTap(call.wire.openFrameReader());
  let raw: ServerResponse | undefined;
  const held: Buffer[] = [];
  const hooks = call.hooks?.openStream(call.model, answerHeaders(call));

  const settle = (outcome: CallEnd["outcome"], problem?: { status: number; code: string }): void => {
    call.ledger.finish(endOf(call, tap.state(), { outcome, problem, isOut: raw !== undefined }));
  };

  function start(): ServerResponse {
    if (raw) return raw;
    raw = takeOver(call, 200, { ...passingHeaders(headers), ...streamHeaders, ...answerHeaders(call) });
    raw.on("drain", controls.resume);
    return raw;
  }

  /** The client is told in the stream where it has begun, else by an ordinary answer. */
  function stop(outcome: "error" | "aborted", problem: Problem): void {
    settle(outcome, problem);
    if (raw) {
      raw.end((call.conversion ?? call.wire).errorFrame(problem, call.ledger.requestId));
      controls.resolve();
    } else {
      controls.reject(problem);
    }
  }

  const fail = (failure: UpstreamFailure): void => stop("error", failure.problem());
  const isUndecided = (): boolean => call.mayFallBack && !raw && !tap.state().begun && !tap.state().done;
  return {
    data(chunk) {
      call.ledger.firstByte();
      const told = inClientsFormat(call, tap.push(chunk));
      const { done, failed } = tap.state();
      const frames = told && hooks ? hooks.push(told, done) : told;
      if (isUndecided()) {
        if (frames) held.push(frames);
        if (failed) fail(givenUp(controls, "the stream began with an error"));
        return true;
      }
      // The account is written down before the client can know that its answer is complete.
      if (done) settle(failed ? "error" : "ok", failed ? lateFailure : undefined);
      return frames === undefined || start().write(held.length > 0 ? Buffer.concat([...held.splice(0), frames]) : frames);
    },
    end() {
      const rest = restOf(call, tap, hooks);
      const { failed, countedTokens, usage } = tap.state();
      if (isUndecided() || (!call.ledger.isEnded() && countedTokens === 0 && !usage)) {
        return fail(givenUp(controls, "the stream was empty"));
      }
      settle(failed ? "error" : "ok", failed ? lateFailure : undefined);
      start().end(rest);
      controls.resolve();
    },
    fail,
    abandon: () => settle("aborted"),
    cut: (problem) => stop("aborted", problem),
  };
}

/** Nothing more of this stream is wanted. */
function givenUp(controls: SinkControls, message: string): UpstreamFailure {
  controls.abort();
  return new UpstreamFailure("failed", true, { message });
}

/** The provider said in its stream that it failed. */
const lateFailure = { status: 200, code: "upstream_failed" };

function inClientsFormat({ conversion }: ForwardedCall, frames: Buffer | undefined): Buffer | undefined {
  return frames && conversion ? conversion.frames(frames) : frames;
}

/** The end of the stream, and what a translation still has to say. */
function restOf(call: ForwardedCall, tap: SseTap, hooks: StreamHooks | undefined): Buffer | undefined {
  const [rest, last] = [inClientsFormat(call, tap.end()), call.conversion?.end()];
  const all = rest && last ? Buffer.concat([rest, last]) : (rest ?? last);
  const { done, failed } = tap.state();
  return hooks ? hooks.end(all, done && !failed) : all;
}

interface StreamEnd {
  outcome: CallEnd["outcome"];
  problem: { status: number; code: string } | undefined;
  /** The head has gone to the client. */
  isOut: boolean;
}

function endOf(call: ForwardedCall, { usage, countedTokens }: SseState, { outcome, problem, isOut }: StreamEnd): CallEnd {
  const counted = { ...noTokens, input: call.countedInput, output: countedTokens };
  return {
    outcome,
    // Once the head is out its status is 200, whatever follows.
    httpStatus: isOut ? 200 : (problem?.status ?? (outcome === "ok" ? 200 : null)),
    ...(problem ? { errorCode: problem.code } : {}),
    usage: usage ? { source: "provider", tokens: usage } : { source: "counted", tokens: counted },
  };
}
