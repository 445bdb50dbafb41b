import type { AuditWriter } from "@nexus/audit";
import type { OpenedShare } from "@nexus/contracts/key-shares";
import { assert, type Clock, Problem, toId } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import type { RequestContext } from "@nexus/http";
import { type FoundShare, lockShare, markOpened } from "./key-shares.store.ts";
import { boundTo } from "./share-secret.ts";
import { openWithToken, shareTokenHash } from "./share-token.ts";

interface Needs {
  db: Db;
  clock: Clock;
  audit: AuditWriter;
}

/**
 * Shows the secret of a link, once. Who has the token has the link: nobody else is asked.
 * @throws Problem `not_found` for a token that is none or whose link ran out, `conflict` when it was opened before or its key ended
 */
export async function openShare(needs: Needs, token: string, context: RequestContext): Promise<OpenedShare> {
  return await inTransaction(needs.db, async (tx) => {
    const share = await lockShare(tx, shareTokenHash(token));
    if (!share) throw new Problem("not_found", "There is no such link. Ask for a new one.");
    refuseUnlessOpen(share);
    assert(share.ciphertext, "a link that can be opened has its secret");
    const { id, key_id: keyId, version } = share;
    const secret = openWithToken(share.ciphertext, token, boundTo({ id, keyId, version }));
    await markOpened(tx, id, new Date(needs.clock.now()));
    await needs.audit.write(tx, {
      action: "key.share_opened",
      outcome: "success",
      organizationId: toId("organization", share.organization_id),
      actor: { kind: "anonymous" },
      targets: [{ kind: "key", id: toId("key", keyId) }],
      context,
      details: { prefix: share.display_prefix, version },
    });
    const { name, display_prefix: prefix, key_expires_at } = share;
    return { secret, name, prefix, expires_at: key_expires_at?.toISOString() ?? null };
  });
}

function refuseUnlessOpen(share: FoundShare): void {
  if (share.opened_at) {
    const at = share.opened_at.toISOString();
    const detail = `This link was opened at ${at}. If that was not you, tell whoever sent it: somebody else has the key.`;
    throw new Problem("conflict", detail, { extensions: { opened_at: at } });
  }
  if (share.is_over) {
    const at = share.expires_at.toISOString();
    throw new Problem("not_found", `This link ran out at ${at}. Ask for a new one.`, { extensions: { expired_at: at } });
  }
  if (share.is_dead) throw new Problem("conflict", "The key was ended before its link was opened. Ask for a new one.");
}
