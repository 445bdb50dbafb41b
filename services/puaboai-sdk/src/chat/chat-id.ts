import type { RequestId } from "@nexus/core";

/** What an answer that the gateway writes calls itself. */
export function chatIdOf(requestId: RequestId): string {
  return `chatcmpl-${requestId.slice("req_".length)}`;
}
