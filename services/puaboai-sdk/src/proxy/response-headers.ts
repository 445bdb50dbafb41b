import type { UpstreamHeaders } from "./open-upstream.ts";

/**
 * What a client may see of a provider's answer head. A list of what passes, not of what does not: hop-by-hop fields
 * (RFC 9110 §7.6.1), cookies, the provider's account names and its rate limits (which all tenants share) stay here.
 */
const passing = [
  "content-type",
  "retry-after",
  "retry-after-ms",
  "x-should-retry",
  "openai-processing-ms",
  "openai-version",
] as const;

export function passingHeaders(headers: UpstreamHeaders): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of passing) {
    const value = headers[name];
    if (typeof value === "string") kept[name] = value;
  }
  const requestId = headers["x-request-id"] ?? headers["request-id"];
  if (typeof requestId === "string") kept["x-upstream-request-id"] = requestId;
  return kept;
}

/** The media type without its parameters, in lower case. */
export function mediaTypeOf(headers: UpstreamHeaders): string {
  const value = headers["content-type"];
  return typeof value === "string" ? (value.split(";", 1)[0] ?? "").trim().toLowerCase() : "";
}

export function isJson(mediaType: string): boolean {
  return mediaType === "application/json" || mediaType.endsWith("+json");
}
