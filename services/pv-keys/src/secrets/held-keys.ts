/** Key-encryption keys that stand in the configuration: for installations without a KMS. */
import { createHmac, hkdfSync } from "node:crypto";
import { type Field, optional } from "@nexus/config";
import { isPublishedValue } from "@nexus/core";
import { seal, unseal } from "./aes-gcm.ts";
import { CannotOpen, type KeyEncryption, type KeyEncryptionKey } from "./key-encryption.ts";

const shortest = 32;
const keyBytes = 32;

/** Entries of `version:secret`, separated by spaces or line ends; the highest version is the current one. */
export const keyEncryptionField: Field<KeyEncryption | undefined> = optional({
  doc: "Key-encryption keys of the stored secrets, as `version:secret` separated by spaces or line ends, at least 32 characters each; the highest version wraps, older ones still unwrap. Without any, secrets cannot be kept.",
  secret: true,
  fallback: undefined,
  parse: (text) => {
    const entries = text.split(/\s+/).filter((entry) => entry !== "");
    const keys = entries.map(parseEntry).toSorted((a, b) => b.version - a.version);
    const [first] = keys;
    if (!first) throw new Error("must hold at least one version:secret");
    if (new Set(keys.map(({ version }) => version)).size < keys.length) throw new Error("holds a version twice");
    const held = keys.map(heldKey);
    if (new Set(held.map(({ fingerprint }) => fingerprint)).size < held.length) {
      throw new Error("holds one secret under two versions");
    }
    return { current: heldKey(first), keys: held };
  },
});

interface Entry {
  version: number;
  secret: string;
}

function parseEntry(entry: string): Entry {
  const match = /^([1-9]\d{0,3}):(\S+)$/.exec(entry);
  if (!match?.[1] || !match[2]) throw new Error("must hold entries of the form version:secret");
  if (isPublishedValue(match[2])) throw new Error("holds a value printed in a public document; make a new one");
  if (match[2].length < shortest) throw new Error(`must hold secrets of at least ${shortest} characters`);
  return { version: Number(match[1]), secret: match[2] };
}

/** @internal */
export function heldKey({ version, secret }: Entry): KeyEncryptionKey {
  const key = Buffer.from(hkdfSync("sha256", secret, "", "nexus key-encryption key v1", keyBytes));
  return {
    name: `file:${version}`,
    // 128 bits of an HMAC: nobody guesses a secret of 32 characters from it.
    fingerprint: createHmac("sha256", key).update("nexus.key-encryption.fingerprint.v1").digest("hex").slice(0, 32),
    wrap: async (dataKey, bound) => seal(key, dataKey, bound),
    unwrap: async (wrapped, bound) => {
      try {
        return unseal(key, wrapped, bound);
      } catch (cause) {
        throw new CannotOpen("the data key", { cause });
      }
    },
  };
}
