import { Problem } from "@nexus/core";
import type { FastifyReply } from "@nexus/http";
import type { OpenCall } from "../calls/call-deps.ts";
import { sendWhole, streamHeaders, takeOver } from "../calls/exchange.ts";
import type { Model } from "../catalogue/catalogue.ts";
import { framesIn } from "../wire/frames-in.ts";
import type { CachedAnswer } from "./cached-answer.ts";

interface Replay {
  call: Pick<OpenCall, "ledger" | "running">;
  reply: FastifyReply;
  answer: CachedAnswer;
  /** Those that the call could be answered by. */
  targets: readonly Model[];
  /** Milliseconds since the epoch. */
  now: number;
}

/**
 * Answers a call with a kept answer: nothing is set aside and nothing charged, and its usage row says so. False when it must not
 * be: the model that gave the answer is frozen, or is none of this call's any more.
 * @throws Problem of a call that was cut meanwhile
 */
export function replayAnswer({ call, reply, answer, targets, now }: Replay): boolean {
  const { ledger, running } = call;
  const cut = running.cutBy();
  if (cut) throw cut;
  const model = targets.find(({ id }) => id === answer.model);
  if (!model || isFrozen(call, model)) return false;
  ledger.routed(model);
  ledger.note({ cachedAnswer: true });
  ledger.firstByte();
  ledger.finish({ outcome: "ok", httpStatus: 200, usage: { source: "none" } });
  const age = Math.max(0, Math.floor((now - answer.storedAt) / 1000));
  const head = { ...answer.headers, "x-nexus-cache": "hit", age, "x-nexus-cost-nanos": "0" };
  if (answer.kind === "whole") {
    sendWhole({ reply }, 200, { headers: head, body: answer.body });
    return true;
  }
  const raw = takeOver({ reply }, 200, { ...head, ...streamHeaders });
  for (const frame of framesIn(answer.body)) raw.write(frame);
  raw.end();
  return true;
}

function isFrozen({ running }: Replay["call"], model: Model): boolean {
  try {
    running.routed(model);
    return false;
  } catch (error) {
    if (error instanceof Problem) return true;
    throw error;
  }
}
