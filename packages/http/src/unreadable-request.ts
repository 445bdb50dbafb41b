/** What cannot even be parsed as HTTP still gets a problem document, a request id, a count and a log line. */
import type { Socket } from "node:net";
import { newId, Problem, type ProblemCode } from "@nexus/core";
import type { Logger, Metrics } from "@nexus/telemetry";
import type { Exchanges } from "./exchange.ts";
import { renderProblem } from "./problem-answer.ts";

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
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  for (const { request, response } of options.exchanges.running()) {
    if (request.socket === socket && response.headersSent) {
      // An answer is under way on this connection: text in the middle of it would be taken for its content.
      socket.destroy();
      return;
    }
  }
  const requestId = newId("request");
  const { status, body } = renderProblem(new Problem(codeOf(error)), requestId);
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
  options.metrics.observeRequest({ method: "UNKNOWN", route: "unreadable", status, durationSeconds: 0 });
  options.logger.info(
    { event: "request", request_id: requestId, listener: options.listener, route: "unreadable", status, error_code: error.code },
    "request",
  );
}
