import type { ServerResponse } from "node:http";
import type { Problem } from "@nexus/core";
import type { UpstreamHeaders } from "../proxy/open-upstream.ts";
import { passingHeaders } from "../proxy/response-headers.ts";
import { troubleIn, UpstreamFailure } from "../proxy/upstream-failure.ts";
import { noTokens } from "../usage/token-usage.ts";
import { growingBuffer } from "../wire/growing-buffer.ts";
import { openTap } from "../wire/open-tap.ts";
import type { SseState } from "../wire/sse-tap.ts";
import type { StreamHooks } from "./call-hooks.ts";
import type { CallEnd } from "./call-ledger.ts";
import { answerHeaders, streamHeaders, takeOver } from "./exchange.ts";
import { type AnswerSink, type ForwardedCall, missingFigures, type SinkControls } from "./forwarded-call.ts";

/**
 * Hands a stream on frame by frame. The head leaves together with the first frame; before that a failure is still an ordinary
 * error answer, after it a last frame says so and the stream ends without its proper end. While another target could be asked,
 * frames that tell nothing yet (a role, a ping) wait for the first that does.
 */
export function relayStream(call: ForwardedCall, headers: UpstreamHeaders, controls: SinkControls): AnswerSink {
  const tap = openTap(call.wire);
  const client = clientStream(call, headers, controls);
  const hooks = call.hooks?.openStream(call.model, answerHeaders(call));
  let isOver = false;
  let grace: NodeJS.Timeout | undefined;

  function settle(outcome: CallEnd["outcome"], problem?: StreamEnd["problem"]): void {
    isOver = true;
    call.ledger.finish(endOf(call, tap.state(), { outcome, problem, isOut: client.isOut() }));
  }

  function stop(outcome: "error" | "aborted", problem: Problem): void {
    if (isOver) return clearTimeout(grace);
    settle(outcome, problem);
    tell(call, client, { problem, controls });
  }

  const fail = (failure: UpstreamFailure): void => stop("error", failure.problem());

  /** The client need not wait for the provider's connection: one that goes on is cut, one that ends soon can be used again. */
  function complete(frames: Buffer | undefined): true {
    const { failed } = tap.state();
    // The account is written down before the client can know that its answer is complete.
    settle(failed ? "error" : "ok", failed ? lateFailure : undefined);
    client.end(frames);
    controls.resolve();
    grace = setTimeout(controls.abort, graceMs);
    return true;
  }

  const isUndecided = (): boolean => call.mayFallBack && !client.isOut() && tellsNothing(tap.state());
  return {
    data(chunk) {
      if (isOver) return true;
      call.ledger.firstByte();
      const told = inClientsFormat(call, tap.push(chunk), tap.state());
      const { done, failed, broken } = tap.state();
      const frames = told && hooks ? hooks.push(told, done) : told;
      const fault = isUndecided() ? faultInBeginning(tap.state(), client.held()) : broken;
      const isLast = fault === undefined && (done || failed);
      if (isLast) return complete(joined([frames, lastOf(call, undefined, { hooks, isWhole: !failed, state: tap.state() })]));
      const flows = isUndecided() ? client.hold(frames) : client.write(frames);
      if (fault !== undefined) fail(givenUp(controls, tap.state(), fault));
      return flows;
    },
    end() {
      clearTimeout(grace);
      if (isOver) return;
      const rest = inClientsFormat(call, tap.end(), tap.state());
      const { done, failed } = tap.state();
      const fault = faultAtEnd(tap.state(), isUndecided());
      if (fault !== undefined) return fail(givenUp(controls, tap.state(), fault));
      complete(lastOf(call, rest, { hooks, isWhole: done && !failed, state: tap.state() }));
    },
    fail,
    abandon: () => settle("aborted"),
    cut: (problem) => stop("aborted", problem),
  };
}

/** What the client gets of it: the head goes with the first frames. */
function clientStream(call: ForwardedCall, headers: UpstreamHeaders, controls: SinkControls) {
  let raw: ServerResponse | undefined;
  const held = growingBuffer();
  function start(): ServerResponse {
    if (raw) return raw;
    raw = takeOver(call, 200, { ...passingHeaders(headers), ...streamHeaders, ...answerHeaders(call) });
    raw.on("drain", controls.resume);
    return raw;
  }
  return {
    isOut: () => raw !== undefined,
    /** Until something is written; always wants more. */
    hold(frames: Buffer | undefined): true {
      if (frames) held.push(frames);
      return true;
    },
    /** Bytes. */
    held: () => held.size(),
    /** False asks for a pause. */
    write: (frames: Buffer | undefined): boolean => frames === undefined || start().write(joined([held.take(), frames])),
    end(frames: Buffer | string | undefined): void {
      const before = held.take();
      if (before) start().write(before);
      start().end(frames);
    },
  };
}

/** The client is told in the stream where it has begun, else by an ordinary answer. */
function tell(
  call: ForwardedCall,
  client: ReturnType<typeof clientStream>,
  { problem, controls }: { problem: Problem; controls: SinkControls },
): void {
  if (!client.isOut()) return controls.reject(problem);
  client.end((call.translation ?? call.wire).errorFrame(problem, call.ledger.requestId));
  controls.resolve();
}

function tellsNothing({ begun, done }: SseState): boolean {
  return !begun && !done;
}

/** Why a stream that has told nothing yet is given up. @param held bytes of its frames */
function faultInBeginning({ broken, failed }: SseState, held: number): string | undefined {
  if (broken === undefined && failed) return "the stream began with an error";
  return broken ?? (held > longestHeld ? "the stream tells nothing" : undefined);
}

/** Why a stream whose transport has ended is no answer. */
export function faultAtEnd(
  { broken, countedTokens, usage, done, finished, failed }: SseState,
  isUndecided: boolean,
): string | undefined {
  if (broken !== undefined) return broken;
  if (isUndecided || (countedTokens === 0 && !usage)) return "the stream was empty";
  return done || finished || failed ? undefined : "the stream ended before its end";
}

/** Nothing more of this stream is wanted. */
function givenUp(controls: SinkControls, state: SseState, message: string): UpstreamFailure {
  controls.abort();
  return brokenStream(state, message);
}

/** A stream that is no answer: the provider said that it failed, or what it sent is none. */
export function brokenStream({ failed, broken }: SseState, message: string): UpstreamFailure {
  return new UpstreamFailure(failed && broken === undefined ? "error_in_answer" : "bad_answer", true, { message });
}

/** Longest stream that waits for what decides about it, bytes of frames. */
export const longestHeld = 16 * 1024 * 1024;

/** For a provider to end its connection after the end of its stream, in milliseconds. */
export const graceMs = 1000;

/** The provider said in its stream that it failed. */
const lateFailure = {
  status: 200,
  code: "upstream_failed",
  cause: new UpstreamFailure("error_in_answer", true, { message: "the stream ended with an error" }),
};

/** What a client reads, in its own format. What it is told of as failed has failed. */
export function inClientsFormat({ translation }: ForwardedCall, frames: Buffer | undefined, state: SseState): Buffer | undefined {
  if (!frames || !translation) return frames;
  const told = translation.frames(frames);
  state.failed ||= translation.hasFailed();
  return told;
}

/** The end of the stream, and what a translation still has to say. */
export function lastOf(
  call: ForwardedCall,
  rest: Buffer | undefined,
  { hooks, isWhole, state }: { hooks: StreamHooks | undefined; isWhole: boolean; state: SseState },
): Buffer | undefined {
  const all = joined([rest, call.translation?.end()]);
  state.failed ||= call.translation?.hasFailed() === true;
  return hooks ? hooks.end(all, isWhole && !state.failed) : all;
}

function joined(pieces: readonly (Buffer | undefined)[]): Buffer | undefined {
  const all = pieces.filter((piece) => piece !== undefined);
  return all.length > 1 ? Buffer.concat(all) : all[0];
}

interface StreamEnd {
  outcome: CallEnd["outcome"];
  problem: { status: number; code: string; cause?: unknown } | undefined;
  /** The head has gone to the client. */
  isOut: boolean;
}

export function endOf(call: ForwardedCall, state: SseState, { outcome, problem, isOut }: StreamEnd): CallEnd {
  const usage = usageOf(call, state);
  const reason =
    problem?.code ?? (outcome === "ok" ? missingFigures(usage.source, state.usageIsUnfit || state.usageIsWhole) : undefined);
  return {
    outcome,
    // Once the head is out its status is 200, whatever follows.
    httpStatus: isOut ? 200 : (problem?.status ?? (outcome === "ok" ? 200 : null)),
    ...(reason === undefined ? {} : { errorCode: reason }),
    failure: problem && troubleIn(problem),
    usage,
  };
}

/** What the provider told of the whole; where it did not, what it told of the input and what was seen of the answer. */
function usageOf(call: ForwardedCall, { usage, usageIsWhole, countedTokens, hasSound }: SseState): CallEnd["usage"] {
  const isBound = call.wire.withoutFigures === "bound";
  if (usage && usageIsWhole && (usage.input > 0 || (isBound && usage.units))) return { source: "provider", tokens: usage };
  if (isBound) return { source: "bound" };
  const known = usage && usage.input > 0 ? usage : { ...noTokens, input: call.countedInput };
  const output = Math.max(known.output, usage?.output ?? 0, countedTokens);
  // How much of it was sound nobody has said, so it can have been all.
  const units = hasSound ? { units: { ...known.units, audioOutput: output } } : {};
  return { source: "counted", tokens: { ...known, output, ...units } };
}
