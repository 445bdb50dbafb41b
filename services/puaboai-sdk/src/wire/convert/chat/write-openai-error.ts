import type { UpstreamError } from "../answer.ts";
import type { JsonObject } from "../json-fields.ts";

/** The error shape of OpenAI's API (https://platform.openai.com/docs/guides/error-codes). */
export function writeOpenAiError({ status, message, code }: UpstreamError): JsonObject {
  return { error: { message, type: kindOf(status), param: null, code: code ?? null } };
}

function kindOf(status: number): string {
  const kinds: Readonly<Record<number, string>> = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
  };
  return kinds[status] ?? (status >= 500 ? "server_error" : "invalid_request_error");
}
