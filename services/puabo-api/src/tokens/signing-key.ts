/**
 * The key that signs tokens (EdDSA, RFC 8037). Its private half rests in PostgreSQL under AES-256-GCM; the wrapping key is
 * derived from JWT_SECRET, so a copy of the database alone signs nothing.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type CryptoKey, type JWK } from "jose";

const signingAlgorithm = "EdDSA";

export interface SigningKey {
  kid: string;
  algorithm: string;
  privateKey: CryptoKey;
  publicJwk: JWK;
}

/** A signing key as it rests: nonce ‖ ciphertext ‖ tag. */
export interface WrappedSigningKey {
  kid: string;
  algorithm: string;
  publicJwk: JWK;
  wrappedPrivateJwk: Buffer;
}

const nonceBytes = 12;
const tagBytes = 16;

/** A new key pair, wrapped. Its `kid` is its thumbprint (RFC 7638). */
export async function generateSigningKey(jwtSecret: string): Promise<WrappedSigningKey> {
  const pair = await generateKeyPair(signingAlgorithm, { crv: "Ed25519", extractable: true });
  const publicJwk = await exportJWK(pair.publicKey);
  const kid = await calculateJwkThumbprint(publicJwk);
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv("aes-256-gcm", wrappingKey(jwtSecret), nonce, { authTagLength: tagBytes });
  // The kid is bound in, so that a wrapped key moved to another row does not open.
  cipher.setAAD(Buffer.from(kid));
  const sealed = Buffer.concat([cipher.update(JSON.stringify(await exportJWK(pair.privateKey)), "utf8"), cipher.final()]);
  return {
    kid,
    algorithm: signingAlgorithm,
    publicJwk: { ...publicJwk, kid, alg: signingAlgorithm, use: "sig" },
    wrappedPrivateJwk: Buffer.concat([nonce, sealed, cipher.getAuthTag()]),
  };
}

/** Opens a wrapped key, or gives `undefined` when the secret is not the one that it was wrapped with. */
export async function unwrapSigningKey(wrapped: WrappedSigningKey, jwtSecret: string): Promise<SigningKey | undefined> {
  const { kid, algorithm, publicJwk, wrappedPrivateJwk: bytes } = wrapped;
  const decipher = createDecipheriv("aes-256-gcm", wrappingKey(jwtSecret), bytes.subarray(0, nonceBytes), {
    authTagLength: tagBytes,
  });
  decipher.setAAD(Buffer.from(kid));
  decipher.setAuthTag(bytes.subarray(-tagBytes));
  const opened = decipher.update(bytes.subarray(nonceBytes, -tagBytes));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  const privateKey = await importJWK(JSON.parse(opened.toString("utf8")) as JWK, algorithm);
  return { kid, algorithm, publicJwk, privateKey: privateKey as CryptoKey };
}

function wrappingKey(jwtSecret: string): Buffer {
  return Buffer.from(hkdfSync("sha256", jwtSecret, "", "nexus signing key wrap 1", 32));
}
