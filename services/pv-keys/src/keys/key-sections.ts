/** What a request says about a key, checked beyond its schema and brought to the form in which it is kept. */
import type { KeyLimit } from "@nexus/contracts/key-fields";
import type { KeySections } from "@nexus/contracts/keys";
import { type FieldError, Problem, uuidOf } from "@nexus/core";
import { parseIpRange } from "./ip-range.ts";
import type { KeyManager } from "./key-manager.ts";
import { defaultLifetimeMs, defaultScopes, type KeyRow, metadataLimitBytes } from "./key.ts";
import { storedJsonBytes } from "./metadata-size.ts";

/** Gathers every fault of a request, so that a caller hears of all at once. */
export interface Faults {
  readonly found: FieldError[];
  /** `pointer` is relative to the key at hand. */
  add(pointer: string, detail: string): void;
  /** The same list, for the key at `prefix`. */
  at(prefix: string): Faults;
  /** @throws Problem `invalid_request` when there is any */
  refuse(): void;
}

/** Bounded, so that an answer does not outgrow its request. */
const mostShown = 20;

export function collectFaults(found: FieldError[] = [], prefix = ""): Faults {
  return {
    found,
    add: (pointer, detail) => void found.push({ pointer: prefix + pointer, detail }),
    at: (deeper) => collectFaults(found, prefix + deeper),
    refuse: () => {
      const [first] = found;
      if (!first) return;
      throw new Problem("invalid_request", `${first.pointer} ${first.detail}.`, { errors: found.slice(0, mostShown) });
    },
  };
}

export function checkScopes(scopes: readonly string[] | undefined, kind: KeyRow["kind"], faults: Faults): string[] {
  if (scopes === undefined && kind === "sk") return [...defaultScopes];
  if (scopes === undefined || scopes.length === 0) faults.add("/scopes", "must name at least one scope for this kind of key");
  for (const [index, scope] of (scopes ?? []).entries()) {
    const fault = scopeFault(scope, kind);
    if (fault !== undefined) faults.add(`/scopes/${index}`, fault);
  }
  return [...new Set(scopes)];
}

const rootScopes: readonly string[] = ["keys:read", "keys:write", "keys:*"];

/** The area `keys` is where keys have power over keys, so each kind has its own part of it. */
function scopeFault(scope: string, kind: KeyRow["kind"]): string | undefined {
  if (kind === "rk")
    return rootScopes.includes(scope) ? undefined : "is none of those of a root key: keys:read, keys:write, keys:*";
  if (rootScopes.includes(scope)) return "is for root keys (rk) alone";
  if (kind === "svc") return undefined;
  if (scope === "*") return "is for service keys (svc) alone";
  return scope.startsWith("keys:") ? "is for root keys and service keys" : undefined;
}

/** A root key that is bound to models gives no others. */
export function checkModels(models: readonly string[] | null | undefined, manager: KeyManager, faults: Faults): string[] | null {
  const ceiling = manager.by.kind === "root_key" ? manager.by.models : null;
  if (ceiling !== null && models === null) faults.add("/models", "must name models: the root key is bound to some");
  if (models === undefined) return ceiling === null ? null : [...ceiling];
  if (models === null) return null;
  for (const [index, model] of models.entries())
    if (ceiling !== null && !ceiling.includes(model)) faults.add(`/models/${index}`, "is none of the root key's models");
  return [...new Set(models)];
}

export function checkIpAllow(given: readonly string[] | null | undefined, faults: Faults): string[] | null {
  if (given === undefined || given === null) return null;
  const ranges = new Set<string>();
  for (const [index, text] of given.entries()) {
    const range = parseIpRange(text);
    if ("cidr" in range) ranges.add(range.cidr);
    else faults.add(`/ip_allow/${index}`, range.fault);
  }
  return [...ranges];
}

export function checkLimits(limits: readonly KeyLimit[] | undefined, faults: Faults): KeyLimit[] {
  const names = new Set<string>();
  for (const [index, { name }] of (limits ?? []).entries()) {
    if (names.has(name)) faults.add(`/limits/${index}/name`, "is the name of an earlier limit");
    names.add(name);
  }
  return [...(limits ?? [])];
}

export function checkBudgetIds(ids: readonly string[] | undefined): string[] {
  return [...new Set(ids)].flatMap((id) => uuidOf("budget", id) ?? []);
}

export function checkMetadata(metadata: Record<string, unknown>, faults: Faults): Record<string, unknown> {
  const bytes = storedJsonBytes(metadata);
  if (bytes !== undefined && bytes <= metadataLimitBytes) return metadata;
  const unkept = "is nested too deeply, or holds half a character or a number beyond 1.8e308";
  faults.add("/metadata", bytes === undefined ? unkept : "is larger than 16 kB");
  // Nobody goes on to walk through what is nested without end.
  return {};
}

export function checkExpiry(expiresAt: KeySections["expires_at"], now: Date, faults: Faults): Date | null {
  if (expiresAt === null) return null;
  if (expiresAt === undefined) return new Date(now.getTime() + defaultLifetimeMs);
  const at = new Date(expiresAt);
  if (!(at.getTime() > now.getTime())) faults.add("/expires_at", "must lie in the future");
  return at;
}

type Owner = { owner_kind: KeyRow["owner_kind"]; owner_user_id: string | null };

/** A key for services belongs to a service, no other does; a root key makes keys of its organization. */
export function checkOwner(
  given: KeySections["owner"],
  { kind, manager, faults }: { kind: KeyRow["kind"]; manager: KeyManager; faults: Faults },
): Owner {
  const { by } = manager;
  const usual = kind === "svc" ? "service" : by.kind === "root_key" ? "organization" : "user";
  const wanted = given?.kind ?? usual;
  if ((wanted === "service") !== (kind === "svc")) faults.add("/owner/kind", "must be service for svc keys, and for no others");
  if (wanted === "user" && by.kind === "root_key") faults.add("/owner/kind", "must be organization: a root key is nobody");
  const userId = wanted === "user" && by.kind === "person" ? by.userId : null;
  const expected = { user: userId, organization: manager.tenant, service: null }[wanted];
  const idKind = wanted === "organization" ? "organization" : "user";
  if (given?.id !== undefined && (expected === null || uuidOf(idKind, given.id) !== expected))
    faults.add("/owner/id", "must be your own");
  return { owner_kind: wanted, owner_user_id: userId };
}
