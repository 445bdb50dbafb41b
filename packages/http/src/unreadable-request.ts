/** What cannot even be parsed as HTTP still gets a problem document, a request id, a count and a log line. */
import type { Socket } from "node:net";
import { newId, Problem, type ProblemCode } from "@nexus/core";
import type { Logger, Metrics } from "@nexus/telemetry";
import type { Exchange, Exchanges } from "./exchange.ts";
import { noteProblem, renderProblem } from "./problem-answer.ts";

interface UnreadableOptions {
  listener: "published" | "internal";
  logger: Logger;
  metrics: Metrics;
  exchanges: Exchanges;
}

const reasons: Readonly<Record<number, string>> = {
  400: "Bad Request",
  408: "Request Timeout",
  431: "Request Header Fields Too Large",
};

function codeOf(error: NodeJS.ErrnoException): ProblemCode {
  if (error.code === "HPE_HEADER_OVERFLOW") return "headers_too_large";
  if (error.code === "ERR_HTTP_REQUEST_TIMEOUT") return "request_timeout";
  return "malformed_request";
}

/** For Node's `clientError`: the socket is all there is. */
export function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket, options: UnreadableOptions): void {
  const exchange = options.exchanges.running().find(({ request }) => request.socket === socket);
  // An answer under way on this connection would take the text for its content.
  if (error.code === "ECONNRESET" || !socket.writable || exchange?.response.headersSent) {
    socket.destroy();
    return;
  }
  const problem = new Problem(codeOf(error));
  const requestId = exchange?.id ?? newId("request");
  const { status, body } = renderProblem(problem, requestId);
  const head = [
    `HTTP/1.1 ${status} ${reasons[status] ?? "Bad Request"}`,
    "content-type: application/problem+json",
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`,
    "cache-control: no-store",
    "x-content-type-options: nosniff",
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`, () => socket.destroy());
  if (exchange) noteBrokenOff(exchange, problem, error);
  else report({ requestId, status, errorCode: error.code }, options);
}

/** The request had begun, so its own log line tells the end of it. */
function noteBrokenOff(exchange: Exchange, problem: Problem, error: NodeJS.ErrnoException): void {
  // The client closed its side in the middle: it went away, it did not send nonsense.
  if (error.code === "HPE_INVALID_EOF_STATE") return;
  noteProblem(exchange, problem);
  exchange.brokenOffStatus = problem.status;
}

function report(refused: { requestId: string; status: number; errorCode: string | undefined }, options: UnreadableOptions): void {
  const { requestId, status, errorCode } = refused;
  options.metrics.observeRequest({ method: "UNKNOWN", route: "unreadable", status, durationSeconds: 0 });
  options.logger.info(
    { event: "request", request_id: requestId, listener: options.listener, route: "unreadable", status, error_code: errorCode },
    "request",
  );
}
