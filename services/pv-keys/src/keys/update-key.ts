import { isDeepStrictEqual } from "node:util";
import type { Key, UpdateKeyRequest } from "@nexus/contracts/keys";
import { Problem } from "@nexus/core";
import { changeKey, type ChangeInput, type ChangeKeyDeps, requireNotRevoked } from "./change-key.ts";
import type { KeyManager } from "./key-manager.ts";
import {
  checkBudgetIds,
  checkExpiry,
  checkIpAllow,
  checkLimits,
  checkMetadata,
  checkModels,
  checkScopes,
  collectFaults,
  type Faults,
} from "./key-sections.ts";
import { type KeyRow, quotaOf } from "./key.ts";
import { updateKeyRow } from "./keys.store.ts";
import { mergePatch } from "./merge-patch.ts";
import { requireRightToMake } from "./require-role.ts";

type Values = Partial<
  Pick<
    KeyRow,
    | "name"
    | "scopes"
    | "models"
    | "ip_allow"
    | "limits"
    | "concurrency"
    | "quota_limit"
    | "quota_refill"
    | "budget_ids"
    | "metadata"
    | "tags"
    | "expires_at"
  >
>;

/**
 * Changes what the request names. What is the same already changes nothing and takes no revision.
 * @throws Problem `not_found`, `forbidden`, `invalid_request`, `conflict` for a revoked key or another revision than expected
 */
export async function updateKey(
  deps: ChangeKeyDeps,
  { request, ...input }: ChangeInput & { request: UpdateKeyRequest },
): Promise<Key> {
  return await changeKey(deps, input, async (tx, before, at) => {
    requireNotRevoked(before);
    if (request.if_rev !== undefined && BigInt(request.if_rev) !== before.rev)
      throw new Problem("conflict", "The key was changed meanwhile.", { extensions: { rev: Number(before.rev) } });
    const { scopes = [] } = request;
    if (!isDeepStrictEqual(scopes, before.scopes)) await requireRightToMake(tx, input.manager, [{ kind: "sk", scopes }]);
    const given = valuesOf(request, { before, at, manager: input.manager });
    const changed = Object.entries(given).filter(([name, value]) => !isDeepStrictEqual(value, before[name as keyof KeyRow]));
    if (changed.length === 0) return undefined;
    const { limits, metadata, ...values } = Object.fromEntries(changed) as Values;
    await updateKeyRow(tx, before.id, {
      ...values,
      ...(limits && { limits: JSON.stringify(limits) }),
      ...(metadata && { metadata: JSON.stringify(metadata) }),
      updated_at: at,
    });
    return { action: "key.updated", ...describe(before, { ...before, ...given }) };
  });
}

function valuesOf(request: UpdateKeyRequest, { before, at, manager }: { before: KeyRow; at: Date; manager: KeyManager }): Values {
  const faults = collectFaults();
  const { name, concurrency, quota, tags } = request;
  const values: Values = {
    ...(name !== undefined && { name }),
    ...(request.scopes && { scopes: checkScopes(request.scopes, before.kind, faults) }),
    ...(request.models !== undefined && { models: checkModels(request.models, manager, faults) }),
    ...(request.ip_allow !== undefined && { ip_allow: checkIpAllow(request.ip_allow, faults) }),
    ...(request.limits && { limits: checkLimits(request.limits, faults) }),
    ...(concurrency !== undefined && { concurrency }),
    ...(quota !== undefined && { quota_limit: quota && BigInt(quota.limit), quota_refill: quota && quota.refill }),
    ...(request.budget_ids && { budget_ids: checkBudgetIds(request.budget_ids) }),
    ...(request.metadata !== undefined && { metadata: patched(before.metadata, request.metadata, faults) }),
    ...(tags && { tags: [...new Set(tags)] }),
    ...(request.expires_at !== undefined && { expires_at: checkExpiry(request.expires_at, at, faults) }),
  };
  faults.refuse();
  return values;
}

function patched(before: KeyRow["metadata"], patch: Record<string, unknown> | null, faults: Faults): KeyRow["metadata"] {
  if (patch === null) return {};
  return checkMetadata(mergePatch(before, checkMetadata(patch, faults)), faults);
}

/** What differs, before and after. What people wrote goes where personal data goes. */
function describe(before: KeyRow, after: KeyRow) {
  const [from, to] = [facts(before), facts(after)];
  const differing = (Object.keys(from) as (keyof typeof from)[]).filter((name) => !isDeepStrictEqual(from[name], to[name]));
  const pick = (of: typeof from) => Object.fromEntries(differing.map((name) => [name, of[name]]));
  const personal: Record<string, string> = {};
  for (const name of ["name", "metadata", "tags"] as const) {
    if (isDeepStrictEqual(before[name], after[name])) continue;
    personal[`${name}_before`] = JSON.stringify(before[name]);
    personal[`${name}_after`] = JSON.stringify(after[name]);
  }
  return { details: { before: pick(from), after: pick(to) }, personal };
}

function facts(row: KeyRow) {
  return {
    scopes: row.scopes,
    models: row.models,
    ip_allow: row.ip_allow,
    limits: row.limits.map((limit) => ({ ...limit })),
    concurrency: row.concurrency,
    quota: quotaOf(row) ?? null,
    budget_ids: row.budget_ids,
    expires_at: row.expires_at?.toISOString() ?? null,
  };
}
