import { Problem } from "@nexus/core";
import type { UpstreamHeaders } from "../proxy/open-upstream.ts";
import { isJson, mediaTypeOf, passingHeaders } from "../proxy/response-headers.ts";
import { UpstreamFailure } from "../proxy/upstream-failure.ts";
import { findUsage } from "../usage/find-usage.ts";
import type { CallEnd } from "./call-ledger.ts";
import { answerHeaders, takeOver } from "./exchange.ts";
import { type AnswerSink, failedEnd, type ForwardedCall, type SinkControls, unknownUsage } from "./forward-call.ts";

// 2,048 embeddings of 3,072 numbers are about 130 MB of text; more is no answer.
const largestAnswer = 160 * 1024 * 1024;

/** Statuses that speak of our account at the provider, not of the client's request: 401, 402, 403, 407. */
const ourTrouble: ReadonlySet<number> = new Set([401, 402, 403, 407]);

/** Gathers a whole answer, reads what it cost and sends it on byte for byte, head and body together. */
export function collectAnswer(
  call: ForwardedCall,
  head: { status: number; headers: UpstreamHeaders },
  controls: SinkControls,
): AnswerSink {
  const chunks: Buffer[] = [];
  let bytes = 0;

  function fail(failure: UpstreamFailure): void {
    // A provider that had already refused has done no work.
    call.ledger.finish(head.status < 400 ? failedEnd(call, failure) : { ...failedEnd(call, failure), usage: { source: "none" } });
    controls.reject(failure.problem());
  }

  return {
    data(chunk) {
      call.ledger.firstByte();
      bytes += chunk.length;
      if (bytes > largestAnswer) {
        controls.abort();
        fail(new UpstreamFailure("failed", true, { message: "the answer is too large" }));
        return true;
      }
      chunks.push(chunk);
      return true;
    },
    end() {
      const body = chunks.length === 1 ? (chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(chunks, bytes);
      const json = isJson(mediaTypeOf(head.headers)) && head.headers["content-encoding"] === undefined;
      if (head.status >= 200 && head.status < 300) {
        if (json) return answer(body, { outcome: "ok", httpStatus: head.status, usage: usageOf(call, body) });
        return fail(
          new UpstreamFailure("failed", true, { message: `an answer of type ${mediaTypeOf(head.headers) || "nothing"}` }),
        );
      }
      if (json && head.status >= 400 && head.status < 500 && !ourTrouble.has(head.status)) {
        return answer(body, {
          outcome: "error",
          httpStatus: head.status,
          errorCode: "upstream_refused",
          usage: { source: "none" },
        });
      }
      refuse();
    },
    fail,
    abandon() {
      call.ledger.finish({
        outcome: "aborted",
        httpStatus: null,
        usage: head.status < 400 ? unknownUsage(call) : { source: "none" },
      });
    },
  };

  function answer(body: Buffer, end: CallEnd): void {
    const cost = call.ledger.finish(end);
    const raw = takeOver(call, head.status, {
      ...passingHeaders(head.headers),
      ...answerHeaders(call.model),
      "content-length": body.length,
      "x-nexus-cost-nanos": cost.toString(),
    });
    raw.end(body);
    controls.resolve();
  }

  /** Provider's errors are told as ours: their text may hold what is only for us. */
  function refuse(): void {
    call.logRefusal({ provider: call.model.provider, status: head.status }, "a provider refused a call");
    const retryAfter = head.headers["retry-after"];
    const problem = new Problem("upstream_failed", undefined, {
      cause: new Error(`the provider answered ${head.status}`),
      headers: typeof retryAfter === "string" && /^\d{1,6}$/.test(retryAfter) ? { "retry-after": retryAfter } : {},
    });
    call.ledger.finish({ outcome: "error", httpStatus: problem.status, errorCode: problem.code, usage: { source: "none" } });
    controls.reject(problem);
  }
}

function usageOf(call: ForwardedCall, body: Buffer): CallEnd["usage"] {
  const tokens = findUsage(body);
  if (tokens) return { source: "provider", tokens };
  const output = call.path === "/embeddings" ? 0 : Math.ceil(body.length / 3);
  return { source: "counted", tokens: { input: call.countedInput, output, cachedInput: 0, reasoning: 0 } };
}
