/** A delivery in GitHub's secret scanning partner format: https://docs.github.com/code-security/secret-scanning/secret-scanning-partnership-program */
import { isUtf8 } from "node:buffer";
import { type KeyObject, verify } from "node:crypto";
import { Problem } from "@nexus/core";
import type { SigningKeySource } from "./signing-key-source.ts";

export interface Match {
  token: string;
  type: string;
  /** Empty where it was not told. */
  url: string;
  source: string;
}

/** Headers as they came; each may be missing or there several times. */
interface Signature {
  identifier: unknown;
  signature: unknown;
}

const mostTokens = 1000;
/** Characters: an identifier is a hash in hex, a signature 72 bytes of DER at most. */
const longestHeader = 256;

/** The key that a delivery says it is signed with. @throws Problem `unauthenticated` when there is none, `unavailable` */
export async function findSigner(keys: SigningKeySource, { identifier, signature }: Signature): Promise<KeyObject> {
  if (!isHeader(identifier) || !isHeader(signature)) throw unsigned();
  const key = await keys.find(identifier);
  if (!key) throw unsigned();
  return key;
}

/**
 * The signature is over the bytes as they came, and nothing in them is looked at before it holds.
 * @throws Problem `unauthenticated`, `unavailable`, `malformed_json`, `invalid_request`
 */
export async function openDelivery(keys: SigningKeySource, { body, ...by }: Signature & { body: Buffer }): Promise<Match[]> {
  const key = await findSigner(keys, by);
  // Node's base64 skips what is none, so one signature has many spellings; nothing here depends on their being one.
  const signature = Buffer.from(String(by.signature), "base64");
  if (!verify("sha256", body, { key, dsaEncoding: "der" }, signature)) throw unsigned();
  return readMatches(body);
}

function isHeader(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= longestHeader;
}

function unsigned(): Problem {
  return new Problem("unauthenticated", "The report is not signed by a key that signs such reports.");
}

function readMatches(body: Buffer): Match[] {
  const list = parse(body);
  if (!Array.isArray(list)) throw refused("", "must be an array");
  if (list.length > mostTokens) throw refused("", `must not hold more than ${mostTokens} matches`);
  return list.map((match: Partial<Record<keyof Match, unknown>> | null, index) => {
    const { token, type, url, source } = match ?? {};
    if (typeof token !== "string" || token === "") throw refused(`/${index}/token`, "must be text");
    if (typeof type !== "string") throw refused(`/${index}/type`, "must be text");
    return { token, type, url: typeof url === "string" ? url : "", source: typeof source === "string" ? source : "" };
  });
}

function parse(body: Buffer): unknown {
  try {
    if (isUtf8(body)) return JSON.parse(body.toString()) as unknown;
  } catch {
    // The reason would quote the body, which holds keys.
  }
  throw new Problem("malformed_json");
}

function refused(pointer: string, detail: string): Problem {
  return new Problem("invalid_request", `${pointer} ${detail}`.trim(), { errors: [{ pointer, detail }] });
}
