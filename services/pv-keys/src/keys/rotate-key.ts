import type { CreatedKey, RotateKeyRequest } from "@nexus/contracts/keys";
import { Problem } from "@nexus/core";
import type { Peppers } from "../peppers.ts";
import { changeKey, type ChangeInput, type ChangeKeyDeps, requireNotRevoked } from "./change-key.ts";
import type { PepperCheck } from "./confirm-peppers.ts";
import { freshSecret } from "./draft-key.ts";
import { insertVersion, retireVersions } from "./keys.store.ts";

interface RotateDeps extends ChangeKeyDeps {
  peppers: Peppers;
  pepperCheck: PepperCheck;
}

/** Secrets of one key that work at once: enough for rotations that overlap, too few for secrets that nobody remembers. */
const mostWorking = 4;

/**
 * A new secret for the same key; older ones go on for the overlap. The secret in the answer is nowhere else.
 * @throws Problem `not_found`, `forbidden`, `conflict` for a revoked key and for a fifth secret that would work
 */
export async function rotateKey(
  deps: RotateDeps,
  { request, ...input }: ChangeInput & { request: RotateKeyRequest },
): Promise<CreatedKey> {
  if (!deps.pepperCheck.confirmed) await deps.pepperCheck.confirm();
  let revealed: string | undefined;
  const key = await changeKey(deps, input, async (tx, before, at) => {
    requireNotRevoked(before);
    const { secret, version: stored } = freshSecret(deps.peppers, before.kind, before.environment);
    const older = await retireVersions(tx, before.id, request.overlap_seconds);
    if (older >= mostWorking) throw tooMany();
    const version = await insertVersion(tx, before.id, { ...stored, created_at: at });
    revealed = secret;
    return {
      action: "key.rotated",
      details: {
        overlap_seconds: request.overlap_seconds,
        before: { version: version - 1 },
        after: { version, prefix: stored.display_prefix },
      },
    };
  });
  if (revealed === undefined) throw new Error("assertion failed: a rotation always makes a secret");
  return { key, secret: revealed };
}

function tooMany(): Problem {
  return new Problem(
    "conflict",
    `${mostWorking} secrets of this key still work. Wait until one retires, or rotate with overlap_seconds 0.`,
  );
}
