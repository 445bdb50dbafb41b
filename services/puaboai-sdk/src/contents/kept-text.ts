/** Texts as they rest in PostgreSQL: sealed, so that whoever reads the table or a copy of it reads no text. */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";

const version = 1;
const ivBytes = 12;
const tagBytes = 16;
const headBytes = 1 + ivBytes + tagBytes;

/** Where a text lies: in another place it does not open. */
export interface TextPlace {
  organizationId: string;
  requestId: string;
  part: "prompt" | "answer";
}

/** @param secret the installation's audit key, the same in every replica */
export function sealKeyFrom(secret: string): Buffer {
  return Buffer.from(hkdfSync("sha256", secret, "", "puaboai-sdk contents seal", 32));
}

export function sealText(sealKey: Buffer, place: TextPlace, text: Buffer): Buffer {
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv("aes-256-gcm", sealKey, iv).setAAD(aadOf(place));
  const sealed = [cipher.update(text), cipher.final()];
  return Buffer.concat([Buffer.of(version), iv, cipher.getAuthTag(), ...sealed]);
}

/** `undefined` for what this installation has not sealed for this very place, or under another `NEXUS_AUDIT_KEY`. */
export function openText(sealKey: Buffer, place: TextPlace, sealed: Buffer): string | undefined {
  if (sealed.length < headBytes || sealed[0] !== version) return undefined;
  try {
    const decipher = createDecipheriv("aes-256-gcm", sealKey, sealed.subarray(1, 1 + ivBytes), { authTagLength: tagBytes });
    decipher.setAAD(aadOf(place)).setAuthTag(sealed.subarray(1 + ivBytes, headBytes));
    return Buffer.concat([decipher.update(sealed.subarray(headBytes)), decipher.final()]).toString();
  } catch {
    return undefined;
  }
}

function aadOf({ organizationId, requestId, part }: TextPlace): Buffer {
  return Buffer.from(`nexus.request-content.v${version}\0${organizationId}/${requestId}/${part}`);
}
