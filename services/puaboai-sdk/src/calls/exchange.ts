import type { ServerResponse } from "node:http";
import type { FastifyReply, FastifyRequest } from "@nexus/http";
import type { CallLedger } from "./call-ledger.ts";

/** One client's request on its way through, with its account. */
export interface Exchange {
  request: FastifyRequest;
  reply: FastifyReply;
  ledger: CallLedger;
  /** Writes the log line of a request whose client went away: the framework sees no end of it. */
  logAbandoned: (request: FastifyRequest, reply: FastifyReply) => void;
}

/**
 * Takes the answer out of the framework's hands: bytes go to the socket as they are, without serialising or copying.
 * The headers that every answer carries come along.
 */
export function takeOver(exchange: Exchange, status: number, headers: Record<string, string | number>): ServerResponse {
  const { reply } = exchange;
  const common = reply.getHeaders() as Record<string, string | number>;
  reply.hijack();
  reply.raw.writeHead(status, { ...common, ...headers });
  return reply.raw;
}

/** Calls `onGone` once if the client goes away before it has its whole answer; at once if it already has. */
export function watchClient(exchange: Exchange, onGone: () => void): void {
  const { request, reply } = exchange;
  const { raw } = reply;
  const gone = () => {
    if (raw.writableFinished) return;
    // 499 is what logs of proxies call a client that closed its request.
    if (!raw.headersSent) raw.statusCode = 499;
    exchange.logAbandoned(request, reply);
    onGone();
  };
  if (raw.destroyed) gone();
  else raw.once("close", gone);
}

/** What every answer of a model says about it. */
export function answerHeaders(model: { demo: boolean }): Record<string, string> {
  return model.demo ? { "x-nexus-demo": "true" } : {};
}

export const streamHeaders = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store",
  // Some reverse proxies gather a stream unless told not to.
  "x-accel-buffering": "no",
};
