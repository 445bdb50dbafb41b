import type { SharedKey } from "@nexus/contracts/key-shares";
import { type Clock, newUuid, Problem } from "@nexus/core";
import type { Db } from "@nexus/db";
import { clearShares, insertShare } from "./key-shares.store.ts";
import { generateShareToken, sealForToken, shareTokenHash } from "./share-token.ts";

export interface ShareDeps {
  clock: Clock;
  /** Origin of pv-keys as people reach it. */
  publicUrl: string;
}

const defaultSeconds = 86_400;

/** How a request wants its secret: `undefined` in the answer, else the seconds that a link works. @throws Problem `invalid_request` */
export function linkSecondsOf(request: { deliver?: "answer" | "link"; link_seconds?: number }): number | undefined {
  if (request.deliver === "link") return request.link_seconds ?? defaultSeconds;
  if (request.link_seconds === undefined) return undefined;
  const detail = "is for deliver: link alone";
  throw new Problem("invalid_request", `/link_seconds ${detail}.`, { errors: [{ pointer: "/link_seconds", detail }] });
}

/** Seals the secret for whoever gets the link, in the transaction that makes the secret. The link's token is stored nowhere. */
export async function shareSecret(
  deps: ShareDeps,
  tx: Db,
  work: { secret: string; keyId: string; version: number; linkSeconds: number },
): Promise<SharedKey["share"]> {
  const { secret, keyId, version, linkSeconds } = work;
  const now = deps.clock.now();
  const id = newUuid(now);
  const token = generateShareToken();
  const expiresAt = new Date(now + linkSeconds * 1000);
  await clearShares(tx);
  await insertShare(tx, {
    id,
    key_id: keyId,
    version,
    token_hash: shareTokenHash(token),
    ciphertext: sealForToken(secret, token, boundTo({ id, keyId, version })),
    created_at: new Date(now),
    expires_at: expiresAt,
  });
  return { url: `${deps.publicUrl}/share#${token}`, expires_at: expiresAt.toISOString() };
}

/** What the ciphertext of a share belongs to. */
export function boundTo({ id, keyId, version }: { id: string; keyId: string; version: number }): string {
  return `${id} ${keyId} ${version}`;
}
