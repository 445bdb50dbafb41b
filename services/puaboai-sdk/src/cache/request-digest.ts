import { createHmac } from "node:crypto";
import { canonicalPieces } from "./canonical-body.ts";

interface DigestedRequest {
  /** Of the caller: answers never cross it. */
  organizationId: string;
  /** The route, and with it the client's wire format. */
  endpoint: string;
  /** What else reaches the provider, is asked of it, or changes what comes back: headers, targets, guardrails. */
  circumstances: unknown;
  /** A JSON object, checked. */
  body: Buffer;
}

/**
 * What two requests must share to share an answer, as 256 bits under a key of ours: from the name of an entry nobody who reads
 * Redis can try out which prompt it answers.
 */
export function digestRequest(macKey: Buffer, { organizationId, endpoint, circumstances, body }: DigestedRequest): string {
  const mac = createHmac("sha256", macKey);
  // One JSON text and then another: where the first ends is not in doubt.
  mac.update(JSON.stringify([organizationId, endpoint, circumstances]));
  for (const piece of canonicalPieces(body)) mac.update(piece);
  return mac.digest("base64url");
}
