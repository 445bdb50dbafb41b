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

/** Longer bodies are not copied: that costs more than a piece less does. */
const onePieceBytes = 16 * 1024;

/** A whole answer, its head and body in one piece. */
export function sendWhole(
  exchange: Pick<Exchange, "reply">,
  status: number,
  { headers, body }: { headers: Record<string, string | number>; body: Buffer },
): void {
  const raw = takeOver(exchange, status, { ...headers, "content-length": body.length });
  // A character for each byte, and back: the body stays what it is.
  if (body.length <= onePieceBytes) raw.end(body.toString("latin1"), "latin1");
  else raw.end(body);
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
  translation?: { lost: readonly string[] } | undefined;
  toldCap?: number | undefined;
}

/** What every answer says about its model, and about what of the request had no place in the provider's format or was lowered. */
export function answerHeaders({ model, translation, toldCap }: Answered): Record<string, string> {
  const lost = translation?.lost.filter((pointer) => /^[\x21-\x7e]+$/.test(pointer)).join(", ");
  return {
    ...(model.demo ? { "x-nexus-demo": "true" } : {}),
    ...(toldCap === undefined ? {} : { "x-nexus-max-tokens": String(toldCap) }),
    ...(lost ? { "x-nexus-not-carried": lost.slice(0, 1000) } : {}),
  };
}

export const streamHeaders = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store",
  // Some reverse proxies gather a stream unless told not to.
  "x-accel-buffering": "no",
};
