import type { ServerResponse } from "node:http";
import type { FastifyReply } from "@nexus/http";
import type { AnswerHooks } from "./call-hooks.ts";
import type { CallLedger } from "./call-ledger.ts";
import type { RunningCall } from "./running-calls.ts";

/** One client's request on its way through, with its account. */
export interface Exchange {
  reply: FastifyReply;
  ledger: CallLedger;
  running: RunningCall;
  /** What is done with the answer; `undefined`: it goes to the client as it is. */
  hooks: AnswerHooks | undefined;
}

/**
 * Takes the answer out of the framework's hands: bytes go to the socket as they are, without serialising or copying.
 * The headers that every answer carries are on the response already.
 */
export function takeOver(
  { reply }: Pick<Exchange, "reply">,
  status: number,
  headers: Record<string, string | number>,
): ServerResponse {
  reply.hijack();
  return reply.raw.writeHead(status, headers);
}

/** Calls `onGone` once if the client goes away before it has its whole answer; at once if it already has. */
export function watchClient(exchange: Exchange, onGone: () => void): void {
  const { raw } = exchange.reply;
  const gone = () => {
    if (!raw.writableFinished) onGone();
  };
  if (raw.destroyed) gone();
  else raw.once("close", gone);
}

interface Answered {
  model: { demo: boolean };
  conversion?: { lost: readonly string[] } | undefined;
}

/** What every answer says about its model, and about what of the request had no place in the provider's format. */
export function answerHeaders({ model, conversion }: Answered): Record<string, string> {
  const lost = conversion?.lost.filter((pointer) => /^[\x21-\x7e]+$/.test(pointer)).join(", ");
  return {
    ...(model.demo ? { "x-nexus-demo": "true" } : {}),
    ...(lost ? { "x-nexus-not-carried": lost.slice(0, 1000) } : {}),
  };
}

export const streamHeaders = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store",
  // Some reverse proxies gather a stream unless told not to.
  "x-accel-buffering": "no",
};
