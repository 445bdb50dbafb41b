import { longestSecretBytes } from "@nexus/contracts/secrets";
import { isPublishedValue, Problem } from "@nexus/core";

/** What a schema cannot tell of a value. The answer names the field, never the value. @throws Problem `invalid_request` */
export function refuseBadValue(value: string): void {
  const detail = faultOf(value);
  if (detail) throw new Problem("invalid_request", `/value ${detail}.`, { errors: [{ pointer: "/value", detail }] });
}

function faultOf(value: string): string | undefined {
  if (!value.isWellFormed()) return "holds half of a character";
  if (Buffer.byteLength(value) > longestSecretBytes) return `must not have more than ${longestSecretBytes} bytes as UTF-8`;
  return isPublishedValue(value) ? "is a value printed in a public document" : undefined;
}
