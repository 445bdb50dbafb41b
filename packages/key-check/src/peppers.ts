/** The peppers of the stored key hashes: outside the database, so that a stolen dump verifies nothing. */
import { createHmac, hash } from "node:crypto";
import type { Field } from "@nexus/config";
import { isPublishedValue } from "@nexus/core";

export interface Peppers {
  /** The version that new hashes are made with. */
  readonly current: number;
  readonly versions: ReadonlyMap<number, string>;
}

const shortest = 32;

/** Entries of `version:secret`, separated by spaces or line ends; the highest version is the current one. */
export const peppersField: Field<Peppers> = {
  doc: "Peppers of the key hashes, as `version:secret` separated by spaces or line ends; the highest version makes new hashes, older ones still verify.",
  secret: true,
  fallback: undefined,
  parse: (text) => {
    const versions = new Map(
      text
        .split(/\s+/)
        .filter((entry) => entry !== "")
        .map(parseEntry),
    );
    if (versions.size === 0) throw new Error("must hold at least one version:secret");
    return { current: Math.max(...versions.keys()), versions };
  },
};

function parseEntry(entry: string): [number, string] {
  const match = /^([1-9]\d{0,3}):(\S+)$/.exec(entry);
  if (!match?.[1] || !match[2]) throw new Error("must hold entries of the form version:secret");
  if (isPublishedValue(match[2])) throw new Error("holds a value printed in a public document; make a new one");
  if (match[2].length < shortest) throw new Error(`must hold secrets of at least ${shortest} characters`);
  return [Number(match[1]), match[2]];
}

/** SHA-256 of the whole key: what HMAC is taken over, so that keys known by their hash alone can be held too. */
export function keyDigest(key: string): Buffer {
  return hash("sha256", key, "buffer");
}

/** HMAC-SHA-256(pepper, SHA-256(key)), 32 bytes. No slow hash: the secret has 190 random bits. */
export function storedHash(digest: Buffer, pepper: string): Buffer {
  return createHmac("sha256", pepper).update(digest).digest();
}

/** Tells peppers apart without telling the pepper: it has at least 32 characters, so nobody guesses it from this. */
export function pepperFingerprint(pepper: string): Buffer {
  return createHmac("sha256", pepper).update("nexus.key-pepper.fingerprint.v1").digest();
}
