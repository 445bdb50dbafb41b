import type { ProblemDocument } from "@nexus/contracts/common";
import type { Problem, RequestId } from "@nexus/core";
import { type ErrorDialect, problemDocument } from "@nexus/http";
import { dotted } from "../json/pointers.ts";

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
  const faults = document.errors?.map(({ pointer, detail }) => `${dotted(pointer) || "the body"} ${detail}`);
  return {
    error: {
      ...(problem.status < 500 ? problem.extensions : {}),
      message: document.detail ?? (faults ? `${document.title}: ${faults.join("; ")}` : document.title),
      type: problem.code === "quota_exceeded" ? "insufficient_quota" : openAiErrorType(problem.status),
      param: (first && dotted(first.pointer)) || null,
      code: document.code,
      request_id: document.request_id,
    },
  };
}

const types: Readonly<Record<number, string>> = {
  401: "authentication_error",
  402: "insufficient_quota",
  403: "permission_error",
  429: "rate_limit_error",
};

/** The kinds that clients of this API tell apart (https://platform.openai.com/docs/guides/error-codes). */
export function openAiErrorType(status: number): string {
  return types[status] ?? (status >= 500 ? "server_error" : "invalid_request_error");
}
