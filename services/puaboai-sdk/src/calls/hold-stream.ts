import { Problem } from "@nexus/core";
import type { UpstreamHeaders } from "../proxy/open-upstream.ts";
import { passingHeaders } from "../proxy/response-headers.ts";
import type { UpstreamFailure } from "../proxy/upstream-failure.ts";
import { framesIn } from "../wire/frames-in.ts";
import { growingBuffer } from "../wire/growing-buffer.ts";
import { openTap } from "../wire/open-tap.ts";
import type { SseState } from "../wire/sse-tap.ts";
import { answerHeaders, streamHeaders, takeOver } from "./exchange.ts";
import type { AnswerSink, ForwardedCall, SinkControls } from "./forwarded-call.ts";
import { brokenStream, endOf, faultAtEnd, graceMs, inClientsFormat, lastOf, longestHeld } from "./relay-stream.ts";

type Check = (frames: Buffer) => Promise<Buffer>;

/** Holds a stream until it is whole and checked, and then sends it frame by frame. Until then every failure is an ordinary error. */
export function holdStream(call: ForwardedCall, headers: UpstreamHeaders, controls: SinkControls & { check: Check }): AnswerSink {
  const tap = openTap(call.wire);
  const held = growingBuffer();
  let isWhole = false;
  let grace: NodeJS.Timeout | undefined;

  function stop(outcome: "error" | "aborted", problem: Problem): void {
    controls.abort();
    call.ledger.finish(endOf(call, tap.state(), { outcome, problem, isOut: false }));
    controls.reject(problem);
  }
  const fail = (failure: UpstreamFailure): void => stop("error", failure.problem());
  const failFor = (message: string): void => fail(brokenStream(tap.state(), message));

  function take(frames: Buffer | undefined): void {
    if (frames) held.push(frames);
  }

  function complete(): void {
    isWhole = true;
    take(lastOf(call, undefined, { hooks: undefined, isWhole, state: tap.state() }));
    if (tap.state().failed) return failFor("the stream failed");
    const frames = held.take() ?? Buffer.alloc(0);
    sendChecked(call, headers, { ...controls, frames, state: tap.state() }).catch((error: unknown) => {
      stop("error", error instanceof Problem ? error : new Problem("internal", undefined, { cause: error }));
    });
  }

  return {
    data(chunk) {
      if (isWhole) return true;
      call.ledger.firstByte();
      take(inClientsFormat(call, tap.push(chunk), tap.state()));
      const { broken, done, failed } = tap.state();
      if (broken !== undefined) failFor(broken);
      else if (held.size() > longestHeld) failFor("the stream is too long to be held");
      else if (done || failed) {
        complete();
        grace = setTimeout(controls.abort, graceMs);
      }
      return true;
    },
    end() {
      clearTimeout(grace);
      if (isWhole) return;
      take(inClientsFormat(call, tap.end(), tap.state()));
      const fault = faultAtEnd(tap.state(), false);
      if (fault === undefined) complete();
      else failFor(fault);
    },
    // After the last frame the provider's connection does not matter.
    fail: (failure) => (isWhole ? clearTimeout(grace) : fail(failure)),
    abandon: () => call.ledger.finish(endOf(call, tap.state(), { outcome: "aborted", problem: undefined, isOut: false })),
    cut: (problem) => stop("aborted", problem),
  };
}

interface HeldStream extends SinkControls {
  check: Check;
  frames: Buffer;
  state: SseState;
}

async function sendChecked(call: ForwardedCall, headers: UpstreamHeaders, held: HeldStream): Promise<void> {
  const passed = await held.check(held.frames);
  // Cut meanwhile, or its client is gone.
  if (call.ledger.isEnded()) return;
  call.ledger.finish(endOf(call, held.state, { outcome: "ok", problem: undefined, isOut: true }));
  const stream = call.hooks?.openStream(call.model, answerHeaders(call));
  stream?.push(passed, true);
  stream?.end(undefined, held.state.done);
  const raw = takeOver(call, 200, { ...passingHeaders(headers), ...streamHeaders, ...answerHeaders(call) });
  for (const frame of framesIn(passed)) raw.write(frame);
  raw.end();
  held.resolve();
}

/** Cuts the call when what looks at its frames refuses one. */
export function cutOnProblem(sink: AnswerSink, abort: () => void): AnswerSink {
  const guarded = <T>(work: () => T, refused: T): T => {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      abort();
      sink.cut(error);
      return refused;
    }
  };
  return { ...sink, data: (chunk) => guarded(() => sink.data(chunk), true), end: () => guarded(() => sink.end(), undefined) };
}
