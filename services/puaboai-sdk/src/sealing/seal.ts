/**
 * What rests in Redis or PostgreSQL and is for this installation alone: AES-256-GCM (NIST SP 800-38D) under a random 96-bit nonce.
 * Version, nonce, tag, ciphertext.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

const version = 1;
const nonceBytes = 12;
const tagBytes = 16;
const headBytes = 1 + nonceBytes + tagBytes;

/** @param place where it rests: in another place it does not open */
export function seal(key: Buffer, place: string, pieces: readonly Buffer[]): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(Buffer.from(place));
  const sealed = [...pieces.map((piece) => cipher.update(piece)), cipher.final()];
  return Buffer.concat([Buffer.of(version), nonce, cipher.getAuthTag(), ...sealed]);
}

/** `undefined` for whatever was not sealed under this key for this very place. */
export function unseal(key: Buffer, place: string, sealed: Buffer): Buffer | undefined {
  if (sealed.length < headBytes || sealed[0] !== version) return undefined;
  try {
    const nonce = sealed.subarray(1, 1 + nonceBytes);
    const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: tagBytes });
    decipher.setAAD(Buffer.from(place)).setAuthTag(sealed.subarray(1 + nonceBytes, headBytes));
    return Buffer.concat([decipher.update(sealed.subarray(headBytes)), decipher.final()]);
  } catch {
    return undefined;
  }
}
