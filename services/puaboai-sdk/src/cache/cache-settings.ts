/** `cache` in gateway.yaml: of a model or a route, which answers are kept; at the top, how much room they may take. */
import { fieldsOf, type YamlFields, type YamlFile } from "../settings/yaml-fields.ts";
import type { CacheBounds } from "./answer-entries.ts";

/** Whose answers are kept, and for how long. */
export interface CacheRule {
  ttlSeconds: number;
  /** Longest answer that is kept. */
  maxBytes: number;
}

const kib = 1024;
const mib = 1024 * kib;
/** Half of what the embedded Redis holds: the limits of keys live there too. */
export const usualBounds: CacheBounds = { organizationBytes: 8 * mib, totalBytes: 32 * mib };

/** Of a model or a route; `undefined`: its answers are not kept. */
export function readCacheRule(file: YamlFile, owner: YamlFields): CacheRule | undefined {
  if (!owner.has("cache")) return undefined;
  const fields = fieldsOf(file, owner.child("cache"), `${owner.path}.cache`);
  if (!fields) return undefined;
  const ttlSeconds = fields.integer("ttl_seconds", { min: 1, max: 7 * 86_400 });
  const maxBytes = fields.integerOr("max_bytes", 256 * kib, { min: kib, max: 8 * mib });
  fields.finish();
  return ttlSeconds === undefined ? undefined : { ttlSeconds, maxBytes };
}

/** Of the whole installation. */
export function readCacheBounds(file: YamlFile, root: YamlFields): CacheBounds {
  if (!root.has("cache")) return usualBounds;
  const fields = fieldsOf(file, root.child("cache"), "cache");
  if (!fields) return usualBounds;
  const range = { min: mib, max: 64 * 1024 * mib };
  const bounds = {
    organizationBytes: fields.integerOr("organization_max_bytes", usualBounds.organizationBytes, range),
    totalBytes: fields.integerOr("total_max_bytes", usualBounds.totalBytes, range),
  };
  fields.finish();
  return bounds;
}
