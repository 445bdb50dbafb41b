import type { ServerResponse } from "node:http";
import type { UpstreamHeaders } from "../proxy/open-upstream.ts";
import { passingHeaders } from "../proxy/response-headers.ts";
import type { CallEnd } from "./call-ledger.ts";
import { answerHeaders, takeOver } from "./exchange.ts";
import type { AnswerSink, ForwardedCall, SinkControls } from "./forwarded-call.ts";
import { failedEnd } from "./forwarded-call.ts";

/**
 * Hands an answer on that is neither JSON nor events, such as sound or subtitles, piece by piece. Nothing of it tells what it cost:
 * that is known from the request, or is the most that it can be.
 */
export function relayBytes(
  call: ForwardedCall,
  head: { status: number; headers: UpstreamHeaders },
  controls: SinkControls,
): AnswerSink {
  let raw: ServerResponse | undefined;
  let isOver = false;

  function start(): ServerResponse {
    if (raw) return raw;
    raw = takeOver(call, head.status, { ...passingHeaders(head.headers), ...answerHeaders(call) });
    raw.on("drain", controls.resume);
    return raw;
  }

  function settle(end: Pick<CallEnd, "outcome" | "httpStatus" | "errorCode" | "failure">): void {
    isOver = true;
    const tokens = call.wire.findUsage(Buffer.alloc(0));
    call.ledger.finish({ ...end, usage: tokens ? { source: "counted", tokens } : { source: "bound" } });
  }

  return {
    data(chunk) {
      if (isOver) return true;
      call.ledger.firstByte();
      return start().write(chunk);
    },
    end() {
      if (isOver) return;
      // The account is written down before the client can have its last byte.
      settle({ outcome: "ok", httpStatus: head.status });
      start().end();
      controls.resolve();
    },
    fail(failure) {
      if (isOver) return;
      if (!raw) {
        isOver = true;
        call.ledger.finish(failedEnd(call, failure));
        return controls.reject(failure.problem());
      }
      settle({ outcome: "error", httpStatus: head.status, errorCode: failure.problem().code, failure: failure.trouble });
      breakOff(raw, controls);
    },
    abandon: () => {
      if (!isOver) settle({ outcome: "aborted", httpStatus: raw ? head.status : null });
    },
    cut(problem) {
      if (isOver) return;
      settle({ outcome: "aborted", httpStatus: raw ? head.status : problem.status, errorCode: problem.code });
      if (raw) breakOff(raw, controls);
      else controls.reject(problem);
    },
  };
}

/** What is out cannot be taken back: a body without its end tells the client. */
function breakOff(raw: ServerResponse, controls: SinkControls): void {
  raw.destroy();
  controls.resolve();
}
