import type { AuditEntry, AuditWriter } from "@nexus/audit";
import { type ChangeDeps, inChangeTransaction } from "@nexus/change-feed";
import type { SharedKey } from "@nexus/contracts/key-shares";
import type { CreatedKey, CreateKeyRequest } from "@nexus/contracts/keys";
import { assert, type Clock, Problem } from "@nexus/core";
import { type Db, isForeignKeyViolation } from "@nexus/db";
import type { RequestContext } from "@nexus/http";
import { linkSecondsOf, type ShareDeps, shareSecret } from "../key-shares/share-secret.ts";
import type { Peppers } from "../peppers.ts";
import { auditKey } from "./audit-key.ts";
import type { PepperCheck } from "./confirm-peppers.ts";
import { draftKey } from "./draft-key.ts";
import { findKeys } from "./key-list.store.ts";
import type { KeyManager } from "./key-manager.ts";
import { collectFaults } from "./key-sections.ts";
import { displayPrefixOf, type KeyRow, presentKey, quotaOf } from "./key.ts";
import { insertKeys, type NewKey, setRevisions } from "./keys.store.ts";
import { requireRightToMake } from "./require-role.ts";

export interface CreateKeyDeps extends ChangeDeps {
  clock: Clock;
  audit: AuditWriter;
  peppers: Peppers;
  pepperCheck: PepperCheck;
}

interface CreateKeyInput {
  manager: KeyManager;
  request: CreateKeyRequest;
  context: RequestContext;
}

/**
 * A new key of the caller's organization. The secret is in the answer or behind a link, and nowhere else.
 * @throws Problem `forbidden`, `invalid_request`
 */
export async function createKey(
  deps: CreateKeyDeps & ShareDeps,
  { manager, request, context }: CreateKeyInput,
): Promise<CreatedKey | SharedKey> {
  const linkSeconds = linkSecondsOf(request);
  const faults = collectFaults();
  const { key, secret } = draftKey(deps, { manager, request, faults });
  faults.refuse();
  let share: SharedKey["share"] | undefined;
  const [made] = await storeKeys(deps, {
    keys: [key],
    manager,
    context,
    action: "key.created",
    alongside: async (tx) => {
      if (linkSeconds === undefined) return {};
      share = await shareSecret(deps, tx, { secret, keyId: key.key.id, version: 1, linkSeconds });
      return { link_expires_at: share.expires_at };
    },
  });
  assert(made, "one key was stored");
  return share ? { key: presentKey(made), share } : { key: presentKey(made), secret };
}

interface StoreWork {
  keys: readonly NewKey[];
  manager: KeyManager;
  context: RequestContext;
  action: "key.created" | "key.imported";
  /** What else belongs to the same transaction, and what there is to say of it in the audit log. */
  alongside?: (tx: Db) => Promise<AuditEntry["details"]>;
}

/**
 * Stores keys with their audit entries and revisions, all or nothing, in the order given.
 * @throws Problem `unauthenticated` when the person is gone who would own them, `forbidden` for a root key of a plain member
 */
export async function storeKeys(deps: CreateKeyDeps, work: StoreWork): Promise<KeyRow[]> {
  const { keys, manager, context, action } = work;
  if (!deps.pepperCheck.confirmed) await deps.pepperCheck.confirm();
  const ids = keys.map(({ key }) => key.id);
  try {
    return await inChangeTransaction(deps, async (tx) => {
      await requireRightToMake(
        tx,
        manager,
        keys.map(({ key: { kind, scopes = [] } }) => ({ kind, scopes })),
      );
      await insertKeys(tx, keys);
      const stored = new Map((await findKeys(tx, ids, manager.tenant)).map((row) => [row.id, row]));
      const made = ids.flatMap((id) => stored.get(id) ?? []);
      const more = await work.alongside?.(tx);
      for (const row of made)
        await auditKey(deps, tx, { action, row, manager, context, details: { ...detailsOf(row), ...more } });
      const revs = await setRevisions(tx, ids, { organizationId: manager.tenant });
      return made.map((row) => ({ ...row, rev: revs.get(row.id) ?? row.rev }));
    });
  } catch (error) {
    throw ownerConstraints.some((name) => isForeignKeyViolation(error, name)) ? accountGone(error) : error;
  }
}

function detailsOf(row: KeyRow) {
  return {
    kind: row.kind,
    environment: row.environment,
    owner_kind: row.owner_kind,
    prefix: displayPrefixOf(row),
    scopes: row.scopes,
    models: row.models,
    ip_allow: row.ip_allow,
    limits: row.limits.map((limit) => ({ ...limit })),
    concurrency: row.concurrency,
    quota: quotaOf(row) ?? null,
    expires_at: row.expires_at?.toISOString() ?? null,
  };
}

/** A person, or the organization that was theirs. */
const ownerConstraints = ["api_keys_owner_user_id_fkey", "api_keys_organization_id_fkey"];

/** A token outlives its person by five minutes at most. */
function accountGone(cause: unknown): Problem {
  return new Problem("unauthenticated", "The account of this token is no longer there.", {
    cause,
    headers: { "www-authenticate": 'Bearer realm="nexus", error="invalid_token"' },
  });
}
