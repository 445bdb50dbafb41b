import type { AnswerHooks } from "../calls/call-hooks.ts";
import { guardFrames } from "./guard-frames.ts";
import type { GuardedCall } from "./guarded-call.ts";
import type { Guardrail } from "./guardrail.ts";
import { StreamWindow } from "./stream-window.ts";

/**
 * Has answers go through the guardrails. A detector reads a stream as it passes; where somebody else is asked, who judges a whole
 * text, the stream is held until it is whole.
 */
export function guardAnswer(guarded: GuardedCall, guardrails: readonly Guardrail[], inner: AnswerHooks): AnswerHooks {
  const holdsStreams = guardrails.some(({ settings }) => settings.kind !== "detector");
  return {
    ...inner,
    checkWhole: (answer) => guarded.body("output", answer, guardrails),
    ...(holdsStreams
      ? { checkStream: (frames: Buffer) => guardFrames(guarded, guardrails, frames) }
      : {
          openStream(model, headers) {
            const stream = inner.openStream(model, headers);
            const window = new StreamWindow(guarded, guardrails);
            const pass = (frames: Buffer | undefined, isLast: boolean): Buffer | undefined => {
              const passed = window.push(frames, isLast);
              return passed && stream.push(passed, isLast);
            };
            return {
              push: pass,
              end: (rest, isWhole) => stream.end(window.push(rest, true), isWhole),
            };
          },
        }),
  };
}
