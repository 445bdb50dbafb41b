/** Texts as they rest in PostgreSQL: sealed, so that whoever reads the table or a copy of it reads no text. */
import { seal, unseal } from "../sealing/seal.ts";

/** Where a text lies: in another place it does not open. */
export interface TextPlace {
  organizationId: string;
  requestId: string;
  part: "prompt" | "answer";
}

export function sealText(sealKey: Buffer, place: TextPlace, text: Buffer): Buffer {
  return seal(sealKey, nameOf(place), [text]);
}

/** `undefined` for what this installation has not sealed for this very place, or under another `NEXUS_AUDIT_KEY`. */
export function openText(sealKey: Buffer, place: TextPlace, sealed: Buffer): string | undefined {
  return unseal(sealKey, nameOf(place), sealed)?.toString();
}

function nameOf({ organizationId, requestId, part }: TextPlace): string {
  return `nexus.request-content.v1\0${organizationId}/${requestId}/${part}`;
}
