/**
 * The token of a share link: 256 random bits, kept in the part of the link that browsers do not send. Two independent keys
 * come from it (HKDF-SHA-256, RFC 5869): one finds the row, the other opens the secret, and neither tells the other.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";

const nonceBytes = 12;
const tagBytes = 16;

export function generateShareToken(): string {
  return randomBytes(32).toString("base64url");
}

export function shareTokenHash(token: string): Buffer {
  return derive(token, "nexus key share: find");
}

/** AES-256-GCM; `bound` is what the ciphertext belongs to: moved to another row it does not open. */
export function sealForToken(secret: string, token: string, bound: string): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv("aes-256-gcm", derive(token, "nexus key share: open"), nonce);
  cipher.setAAD(Buffer.from(bound));
  return Buffer.concat([nonce, cipher.update(secret, "utf8"), cipher.final(), cipher.getAuthTag()]);
}

/** @throws Error when it was made with another token, for something else, or changed */
export function openWithToken(sealed: Buffer, token: string, bound: string): string {
  const nonce = sealed.subarray(0, nonceBytes);
  const decipher = createDecipheriv("aes-256-gcm", derive(token, "nexus key share: open"), nonce, { authTagLength: tagBytes });
  decipher.setAAD(Buffer.from(bound));
  decipher.setAuthTag(sealed.subarray(-tagBytes));
  return Buffer.concat([decipher.update(sealed.subarray(nonceBytes, -tagBytes)), decipher.final()]).toString();
}

function derive(token: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync("sha256", Buffer.from(token, "base64url"), "", purpose, 32));
}
