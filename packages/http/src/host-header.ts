import type { IncomingMessage } from "node:http";

/** `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2); empty where the target has no host. */
const hostPattern = /^(?:[\w.~!$&'()*+,;=%-]*|\[[\da-f:.]+\])(?::\d{0,5})?$/i;

/** What is wrong with the Host header; a request of HTTP/1.1 must have exactly one that is a host (RFC 9112 §3.2). */
export function hostFault({ httpVersion, headers, rawHeaders }: IncomingMessage): string | undefined {
  let hosts = 0;
  // Node keeps the first of several and drops the others from `headers`.
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    if (name.length === 4 && name.toLowerCase() === "host") hosts++;
  }
  if (hosts === 1) return hostPattern.test(headers.host ?? "") ? undefined : "the Host header is no host";
  if (hosts > 1) return "the Host header stands more than once";
  return httpVersion === "1.1" ? "the Host header is missing" : undefined;
}
