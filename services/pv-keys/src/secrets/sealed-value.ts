/**
 * Envelope encryption of one version of a secret: a fresh data key seals the value, a key-encryption key wraps the data key.
 * Both are bound to organization, secret and version, so neither opens in another row, whoever wrote it there.
 */
import { randomBytes } from "node:crypto";
import { seal, unseal } from "./aes-gcm.ts";
import { CannotOpen, findKey, type KeyEncryption, type KeyEncryptionKey } from "./key-encryption.ts";

/** Where a sealed value belongs. */
export interface Place {
  /** uuid; `null`: the installation itself. */
  organizationId: string | null;
  /** uuid */
  secretId: string;
  version: number;
}

export interface SealedValue {
  ciphertext: Buffer;
  wrapped_key: Buffer;
  /** Fingerprint of the key-encryption key. */
  wrapped_by: string;
}

export async function sealValue(key: KeyEncryptionKey, value: string, place: Place): Promise<SealedValue> {
  const dataKey = randomBytes(32);
  const plaintext = Buffer.from(value);
  try {
    return {
      ciphertext: seal(dataKey, plaintext, bindingOf("value", place)),
      wrapped_key: await key.wrap(dataKey, bindingOf("data key", place)),
      wrapped_by: key.fingerprint,
    };
  } finally {
    dataKey.fill(0);
    plaintext.fill(0);
  }
}

/** @throws CannotOpen; MissingKey when another process has keys that this one was not given; what a KMS throws that is away */
export async function openValue(encryption: KeyEncryption, sealed: SealedValue, place: Place): Promise<string> {
  const key = findKey(encryption, sealed.wrapped_by);
  if (!key) throw new MissingKey(sealed.wrapped_by);
  const dataKey = await key.unwrap(sealed.wrapped_key, bindingOf("data key", place));
  let plaintext: Buffer | undefined;
  try {
    plaintext = unseal(dataKey, sealed.ciphertext, bindingOf("value", place));
    return plaintext.toString();
  } catch (cause) {
    throw new CannotOpen("the value", { cause });
  } finally {
    dataKey.fill(0);
    plaintext?.fill(0);
  }
}

/** The data key under another key-encryption key; the value stays as it is. @throws CannotOpen; what a KMS throws that is away */
export async function rewrapKey(
  wrapped: Buffer,
  place: Place,
  { from, to }: { from: KeyEncryptionKey; to: KeyEncryptionKey },
): Promise<Buffer> {
  const bound = bindingOf("data key", place);
  const dataKey = await from.unwrap(wrapped, bound);
  try {
    return await to.wrap(dataKey, bound);
  } finally {
    dataKey.fill(0);
  }
}

/** A key-encryption key that this process was not given. */
class MissingKey extends Error {
  constructor(fingerprint: string) {
    super(`NEXUS_KEY_ENCRYPTION_KEYS lacks the key with the fingerprint ${fingerprint}`);
    this.name = "MissingKey";
  }
}

/** The parts have one form each, so two places never spell the same. */
function bindingOf(use: "value" | "data key", { organizationId, secretId, version }: Place): Buffer {
  return Buffer.from(`nexus secret ${use} v1\n${organizationId ?? "installation"}\n${secretId}\n${version}`);
}
