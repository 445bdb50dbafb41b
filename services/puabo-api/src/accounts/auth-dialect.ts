import { problemCatalogue } from "@nexus/core";
import type { ErrorDialect } from "@nexus/http";
import { authCodeOf } from "./auth-problem.ts";

/** Errors under `/api/auth/*` as better-auth's clients read them: `{ code, message }`, and our request id. */
export const authDialect: ErrorDialect = {
  matches: (path) => path.startsWith("/api/auth/") && path !== "/api/auth/status",
  render: (document, problem) => ({
    contentType: "application/json; charset=utf-8",
    body: { code: authCodeOf(problem), message: messageOf(document), request_id: document.request_id },
  }),
};

function messageOf(document: {
  status: number;
  title: string;
  detail?: string;
  code: string;
  errors?: { pointer: string; detail: string }[];
}): string {
  if (document.status >= 500) return document.title;
  const first = document.errors?.[0];
  if (first) return `${first.pointer}: ${first.detail}`;
  return document.detail ?? problemCatalogue[document.code as keyof typeof problemCatalogue]?.title ?? document.title;
}
