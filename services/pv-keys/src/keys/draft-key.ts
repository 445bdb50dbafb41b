/** A key that is about to be made: what the request says, checked, and what we add. */
import type { CreateKeyRequest, KeySections } from "@nexus/contracts/keys";
import { assert, type Clock, generateApiKey, newUuid } from "@nexus/core";
import { keyDigest, type Peppers, storedHash } from "../peppers.ts";
import { type KeyManager, requireRightOver } from "./key-manager.ts";
import {
  checkBudgetIds,
  checkExpiry,
  checkIpAllow,
  checkLimits,
  checkMetadata,
  checkModels,
  checkOwner,
  checkScopes,
  type Faults,
} from "./key-sections.ts";
import type { KeyRow } from "./key.ts";
import type { NewKey, NewVersion } from "./keys.store.ts";

export interface DraftDeps {
  clock: Clock;
  peppers: Peppers;
}

/** @throws Problem `forbidden` for a kind that this manager does not make; every other fault goes to `faults` */
export function draftKey(
  deps: DraftDeps,
  { manager, request, faults }: { manager: KeyManager; request: CreateKeyRequest; faults: Faults },
): { key: NewKey; secret: string } {
  const { kind = "sk", environment = "live" } = request;
  // Its models are checked below, where their faults can be named.
  requireRightOver(manager, { kind, models: [] });
  const { secret, version } = freshSecret(deps.peppers, kind, environment);
  return { key: { key: draftRow(deps, { manager, kind, sections: request, faults }), secret: version }, secret };
}

/** The row of a key, whatever its secret is. */
export function draftRow(
  { clock }: { clock: Clock },
  { manager, kind, sections, faults }: { manager: KeyManager; kind: KeyRow["kind"]; sections: KeySections; faults: Faults },
): NewKey["key"] {
  const now = new Date(clock.now());
  return {
    id: newUuid(now.getTime()),
    organization_id: manager.tenant,
    ...checkOwner(sections.owner, { kind, manager, faults }),
    name: sections.name,
    kind,
    environment: sections.environment ?? "live",
    scopes: checkScopes(sections.scopes, kind, faults),
    models: checkModels(sections.models, manager, faults),
    ip_allow: checkIpAllow(sections.ip_allow, faults),
    limits: JSON.stringify(checkLimits(sections.limits, faults)),
    concurrency: sections.concurrency ?? null,
    quota_limit: sections.quota ? BigInt(sections.quota.limit) : null,
    quota_refill: sections.quota?.refill ?? null,
    budget_ids: checkBudgetIds(sections.budget_ids),
    metadata: JSON.stringify(checkMetadata(sections.metadata ?? {}, faults)),
    tags: [...new Set(sections.tags)],
    expires_at: checkExpiry(sections.expires_at, now, faults),
    created_by: manager.by.kind === "person" ? manager.by.userId : null,
    created_at: now,
  };
}

/** A secret, and what is stored of it. */
export function freshSecret(
  peppers: Peppers,
  kind: KeyRow["kind"],
  environment: KeyRow["environment"],
): { secret: string; version: NewVersion } {
  const { key: secret, displayPrefix } = generateApiKey(kind, environment);
  const version = { ...pepperedHash(peppers, keyDigest(secret)), display_prefix: displayPrefix, format: null };
  return { secret, version };
}

/** What is stored of a key with this SHA-256, under the pepper for new hashes. */
export function pepperedHash(peppers: Peppers, digest: Buffer): Pick<NewVersion, "hash" | "pepper_version"> {
  const pepper = peppers.versions.get(peppers.current);
  assert(pepper !== undefined, "the current pepper is one of the versions");
  return { hash: storedHash(digest, pepper), pepper_version: peppers.current };
}
