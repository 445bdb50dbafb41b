import type { ProblemDocument } from "@nexus/contracts/common";
import type { Problem, RequestId } from "@nexus/core";
import { type ErrorDialect, problemDocument } from "@nexus/http";

/** The error shape of OpenAI's API, with our code and request id inside. */
export const openAiErrors: ErrorDialect = {
  matches: (path) =>
    path === "/v1/models" || /^\/v1\/(?:audio|chat|embeddings|images|models|moderations|responses)(?:\/|$)/.test(path),
  render: (document, problem) => ({ body: openAiError(document, problem), contentType: "application/json; charset=utf-8" }),
};

/** One frame of a stream that cannot go on; SDKs throw it as an error. */
export function errorFrame(problem: Problem, requestId: RequestId): string {
  return `data: ${JSON.stringify(openAiError(problemDocument(problem, requestId), problem))}\n\n`;
}

function openAiError(document: ProblemDocument, problem: Problem): { error: Record<string, unknown> } {
  const first = document.errors?.[0];
  const faults = document.errors?.map(
    ({ pointer, detail }) => `${pointer.slice(1).replaceAll("/", ".") || "the body"} ${detail}`,
  );
  return {
    error: {
      ...(problem.status < 500 ? problem.extensions : {}),
      message: document.detail ?? (faults ? `${document.title}: ${faults.join("; ")}` : document.title),
      type: typeOf(problem),
      param: first === undefined ? null : first.pointer.slice(1).replaceAll("/", ".") || null,
      code: document.code,
      request_id: document.request_id,
    },
  };
}

/** The kinds that clients of this API tell apart. */
function typeOf(problem: Problem): string {
  if (problem.code === "quota_exceeded") return "insufficient_quota";
  switch (problem.status) {
    case 401:
      return "authentication_error";
    case 402:
      return "insufficient_quota";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    default:
      return problem.status >= 500 ? "server_error" : "invalid_request_error";
  }
}
