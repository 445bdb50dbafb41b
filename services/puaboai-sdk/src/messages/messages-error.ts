import type { ProblemDocument } from "@nexus/contracts/common";
import type { Problem, RequestId } from "@nexus/core";
import { type ErrorDialect, problemDocument } from "@nexus/http";
import { dotted } from "../json/pointers.ts";

/** The error shape of Anthropic's API, with our code inside (https://docs.anthropic.com/en/api/errors). */
export const messagesErrors: ErrorDialect = {
  matches: (path) => /^\/v1\/messages(?:\/|$)/.test(path),
  render: (document, problem) => ({ body: messagesError(document, problem), contentType: "application/json; charset=utf-8" }),
};

export function messagesErrorFrame(problem: Problem, requestId: RequestId): string {
  return `event: error\ndata: ${JSON.stringify(messagesError(problemDocument(problem, requestId), problem))}\n\n`;
}

function messagesError(document: ProblemDocument, problem: Problem): Record<string, unknown> {
  const faults = document.errors?.map(({ pointer, detail }) => `${dotted(pointer) || "the body"}: ${detail}`);
  return {
    type: "error",
    error: {
      ...(problem.status < 500 ? problem.extensions : {}),
      type: messagesErrorType(problem.status),
      message: document.detail ?? (faults ? faults.join("; ") : document.title),
      code: document.code,
    },
    request_id: document.request_id,
  };
}

const types: Readonly<Record<number, string>> = {
  401: "authentication_error",
  402: "billing_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  503: "overloaded_error",
  504: "timeout_error",
  529: "overloaded_error",
};

/** The kinds that clients of this API tell apart. */
export function messagesErrorType(status: number): string {
  return types[status] ?? (status >= 500 ? "api_error" : "invalid_request_error");
}
