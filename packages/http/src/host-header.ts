import type { IncomingMessage } from "node:http";

/** What is wrong with the Host header; a request of HTTP/1.1 must have exactly one (RFC 9112 §3.2). */
export function hostFault({ httpVersion, rawHeaders }: IncomingMessage): string | undefined {
  let hosts = 0;
  // Node keeps the first of several and drops the others from `headers`.
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    if (name.length === 4 && name.toLowerCase() === "host") hosts++;
  }
  if (hosts === 1) return undefined;
  if (hosts > 1) return "the Host header stands more than once";
  return httpVersion === "1.1" ? "the Host header is missing" : undefined;
}
