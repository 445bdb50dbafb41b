/** The public keys that a partner signs its reports with, in the form in which GitHub publishes them. */
import { createPublicKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Field } from "@nexus/config";

export type SigningKeys = ReadonlyMap<string, KeyObject>;

const mostKeys = 100;

/** @throws Error for what is no such list. Keys that are not ECDSA P-256 are left out: nothing signed by them is believed. */
export function parseSigningKeys(text: string): SigningKeys {
  const list = (JSON.parse(text) as { public_keys?: unknown } | null)?.public_keys;
  if (!Array.isArray(list) || list.length > mostKeys) throw new Error("must be { public_keys: [{ key_identifier, key }] }");
  return new Map(
    list.flatMap((entry: { key_identifier?: unknown; key?: unknown } | null) => {
      const key = publicKeyOf(entry?.key);
      return key && typeof entry?.key_identifier === "string" ? [[entry.key_identifier, key] as const] : [];
    }),
  );
}

/** A private key would be taken for its public half: whoever publishes one has nothing left that proves anything. */
function publicKeyOf(pem: unknown): KeyObject | undefined {
  if (typeof pem !== "string" || !pem.includes("-----BEGIN PUBLIC KEY-----")) return undefined;
  try {
    const key = createPublicKey(pem);
    const isP256 = key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1";
    return isP256 ? key : undefined;
  } catch {
    return undefined;
  }
}

/** A file of such keys, read once at the start: then nothing is ever fetched. */
export const pinnedKeysField: Field<SigningKeys | undefined> = {
  doc: "File with the public keys that reports of leaked keys are signed with, in GitHub's form; then NEXUS_LEAK_KEYS_URL is not asked.",
  secret: false,
  fallback: { value: undefined, shown: "—" },
  parse: (path) => {
    const keys = parseSigningKeys(readFileSync(path, "utf8"));
    if (keys.size === 0) throw new Error("holds no ECDSA P-256 public key");
    return keys;
  },
};
