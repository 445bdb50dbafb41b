import type { SharedKey } from "@nexus/contracts/key-shares";
import type { CreatedKey, RotateKeyRequest } from "@nexus/contracts/keys";
import { assert, Problem } from "@nexus/core";
import { linkSecondsOf, type ShareDeps, shareSecret } from "../key-shares/share-secret.ts";
import type { Peppers } from "../peppers.ts";
import { changeKey, type ChangeInput, type ChangeKeyDeps, requireNotRevoked } from "./change-key.ts";
import type { PepperCheck } from "./confirm-peppers.ts";
import { freshSecret } from "./draft-key.ts";
import { insertVersion, retireVersions } from "./keys.store.ts";

interface RotateDeps extends ChangeKeyDeps, ShareDeps {
  peppers: Peppers;
  pepperCheck: PepperCheck;
}

/** Secrets of one key that work at once: enough for rotations that overlap, too few for secrets that nobody remembers. */
const mostWorking = 4;

/**
 * A new secret for the same key; older ones go on for the overlap. The secret is in the answer or behind a link, and nowhere else.
 * @throws Problem `not_found`, `forbidden`, `conflict` for a revoked key and for a fifth secret that would work
 */
export async function rotateKey(
  deps: RotateDeps,
  { request, ...input }: ChangeInput & { request: RotateKeyRequest },
): Promise<CreatedKey | SharedKey> {
  const linkSeconds = linkSecondsOf(request);
  if (!deps.pepperCheck.confirmed) await deps.pepperCheck.confirm();
  let revealed: { secret: string } | { share: SharedKey["share"] } | undefined;
  const key = await changeKey(deps, input, async (tx, before, at) => {
    requireNotRevoked(before);
    const { secret, version: stored } = freshSecret(deps.peppers, before.kind, before.environment);
    const older = await retireVersions(tx, before.id, request.overlap_seconds);
    if (older >= mostWorking) throw tooMany();
    const version = await insertVersion(tx, before.id, { ...stored, created_at: at });
    revealed =
      linkSeconds === undefined
        ? { secret }
        : { share: await shareSecret(deps, tx, { secret, keyId: before.id, version, linkSeconds }) };
    return {
      action: "key.rotated",
      details: {
        overlap_seconds: request.overlap_seconds,
        ...("share" in revealed && { link_expires_at: revealed.share.expires_at }),
        before: { version: version - 1 },
        after: { version, prefix: stored.display_prefix },
      },
    };
  });
  assert(revealed, "a rotation always makes a secret");
  return { key, ...revealed };
}

function tooMany(): Problem {
  return new Problem(
    "conflict",
    `${mostWorking} secrets of this key still work. Wait until one retires, or rotate with overlap_seconds 0.`,
  );
}
