/** From anything thrown to what the caller sees. */
import type { ServerResponse } from "node:http";
import type { ProblemDocument } from "@nexus/contracts/common";
import { Problem, problemCatalogue, type ProblemCode, type RequestId } from "@nexus/core";
import type { Exchange } from "./exchange.ts";

/** The error shape of a family of routes that speaks another API's language. */
export interface ErrorDialect {
  /** @param path without its query */
  matches(path: string): boolean;
  render(document: ProblemDocument, problem: Problem): { body: unknown; contentType: string };
}

const byFastifyCode: Readonly<Record<string, ProblemCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: "body_too_large",
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "unsupported_media_type",
  FST_ERR_CTP_INVALID_JSON_BODY: "malformed_json",
  FST_ERR_CTP_EMPTY_JSON_BODY: "malformed_json",
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: "malformed_request",
  FST_ERR_VALIDATION: "invalid_request",
  FST_ERR_BAD_URL: "malformed_request",
  FST_ERR_MAX_PARAM_LENGTH: "not_found",
  FST_ERR_NOT_FOUND: "not_found",
  ECONNRESET: "malformed_request",
};
const byStatus: Readonly<Record<number, ProblemCode>> = {
  400: "malformed_request",
  404: "not_found",
  405: "method_not_allowed",
  406: "not_acceptable",
  413: "body_too_large",
  415: "unsupported_media_type",
};

/** Every error becomes one entry of the catalogue; what is not understood is our fault and says nothing. */
export function toProblem(error: unknown, translate?: (error: unknown) => Problem | undefined): Problem {
  if (error instanceof Problem) return error;
  // First: a database whose connection was reset has the same code as a caller who went away in the middle of a body.
  const translated = translate?.(error);
  if (translated) return translated;
  const { code, statusCode } = (error ?? {}) as { code?: unknown; statusCode?: unknown };
  const known = typeof code === "string" ? byFastifyCode[code] : undefined;
  if (known) return new Problem(known, known === "unsupported_media_type" ? "Send the body as application/json." : undefined);
  if (error instanceof SyntaxError && statusCode === 400) return new Problem("malformed_json");
  const mapped = typeof statusCode === "number" ? byStatus[statusCode] : undefined;
  return mapped ? new Problem(mapped) : new Problem("internal", undefined, { cause: error });
}

interface RenderedProblem {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** RFC 9457. From 500 on only the title and the request id are shown: a detail of ours helps an attacker more than a caller. */
export function problemDocument(problem: Problem, requestId: string): ProblemDocument & Record<string, unknown> {
  const { code, status } = problem;
  const base = { type: `/problems/${code}`, title: problemCatalogue[code].title, status, code, request_id: requestId };
  if (status >= 500) return base;
  return {
    ...problem.extensions,
    ...base,
    ...(problem.detail === undefined ? {} : { detail: problem.detail }),
    ...(problem.errors === undefined ? {} : { errors: problem.errors }),
  };
}

/** The whole answer to a problem, in the dialect of the route it happened on. */
export function renderProblem(problem: Problem, requestId: RequestId, dialect?: ErrorDialect): RenderedProblem {
  const document = problemDocument(problem, requestId);
  const rendered = dialect?.render(document, problem) ?? { body: document, contentType: "application/problem+json" };
  return {
    status: problem.status,
    headers: { ...problem.headers, "content-type": rendered.contentType },
    body: JSON.stringify(rendered.body),
  };
}

/** Keeps what the log needs to know about a failed request. */
export function noteProblem(exchange: Exchange, problem: Problem): void {
  exchange.problem = problem.code;
  exchange.cause ??= problem.cause ?? (problem.status === 500 ? problem : undefined);
}

/** Answers on the bare response: for requests that never reach the framework and for answers that were taken out of its hands. */
export function answerRaw(exchange: Exchange, problem: Problem, dialect?: ErrorDialect): void {
  const { response } = exchange;
  noteProblem(exchange, problem);
  if (response.headersSent) {
    // Half an answer is out: only a broken connection tells the client that it is not whole.
    response.destroy();
    return;
  }
  writeWhole(response, renderProblem(problem, exchange.id, dialect));
}

function writeWhole(response: ServerResponse, { status, headers, body }: RenderedProblem): void {
  response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) });
  response.end(body);
}
