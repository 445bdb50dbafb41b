import type { AuditWriter } from "@nexus/audit";
import type { CreatedKey, CreateKeyRequest } from "@nexus/contracts/keys";
import { assert, type Clock, generateApiKey, newUuid, Problem, toId, uuidOf } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import type { PersonCaller, RequestContext } from "@nexus/http";
import { keyDigest, type Peppers, storedHash } from "../peppers.ts";
import { defaultLifetimeMs, defaultScopes, metadataLimitBytes, presentKey } from "./key.ts";
import { findKey, insertKey, setRevision } from "./keys.store.ts";

interface CreateKeyDeps {
  db: Db;
  clock: Clock;
  audit: AuditWriter;
  peppers: Peppers;
}

/** A new key of the person's organization. The secret in the answer is nowhere else. @throws Problem `forbidden`, `invalid_request` */
export async function createKey(
  deps: CreateKeyDeps,
  input: { caller: PersonCaller; request: CreateKeyRequest; context: RequestContext },
): Promise<CreatedKey> {
  const { caller, request, context } = input;
  const { kind = "sk", environment = "live" } = request;
  if (kind === "svc" && !caller.roles.includes("admin"))
    throw new Problem("forbidden", "Only an administrator makes service keys.");
  const now = new Date(deps.clock.now());
  const { key: secret, displayPrefix } = generateApiKey(kind, environment);
  const pepper = deps.peppers.versions.get(deps.peppers.current);
  assert(pepper !== undefined, "the current pepper is one of the versions");
  const organizationId = uuidOf("organization", caller.organizationId);
  const userId = uuidOf("user", caller.userId);
  assert(organizationId !== undefined && userId !== undefined, "a verified person has well-formed ids");
  const row = {
    id: newUuid(now.getTime()),
    organizationId,
    ownerKind: kind === "svc" ? ("service" as const) : ("user" as const),
    ownerUserId: kind === "svc" ? null : userId,
    name: request.name,
    kind,
    environment,
    scopes: scopesOf(request, kind),
    models: request.models ?? null,
    metadata: metadataOf(request),
    tags: request.tags ?? [],
    expiresAt: expiryOf(request, now),
    createdBy: userId,
    createdAt: now,
    hash: storedHash(keyDigest(secret), pepper),
    pepperVersion: deps.peppers.current,
    displayPrefix,
  };
  return await inTransaction(deps.db, async (tx) => {
    await insertKey(tx, row);
    await deps.audit.write(tx, {
      action: "key.created",
      outcome: "success",
      organizationId: caller.organizationId,
      actor: { kind: "person", id: caller.userId },
      targets: [{ kind: "key", id: toId("key", row.id) }],
      context,
      details: {
        kind,
        environment,
        prefix: displayPrefix,
        scopes: row.scopes,
        models: row.models,
        expires_at: row.expiresAt?.toISOString() ?? null,
      },
    });
    await setRevision(tx, row);
    const made = await findKey(tx, row);
    assert(made, "a key just inserted is there");
    return { key: presentKey(made), secret };
  });
}

function scopesOf(request: CreateKeyRequest, kind: string): readonly string[] {
  const { scopes } = request;
  if (scopes && scopes.length > 0) return [...new Set(scopes)];
  if (kind === "sk" && scopes === undefined) return defaultScopes;
  throw refusedField("/scopes", "must name at least one scope for this kind of key");
}

function metadataOf(request: CreateKeyRequest): Record<string, unknown> {
  const metadata = request.metadata ?? {};
  const text = JSON.stringify(metadata);
  // PostgreSQL writes JSON with spaces after colons and commas; a third more is its worst on short members.
  if (Buffer.byteLength(text) > metadataLimitBytes / 1.5) throw refusedField("/metadata", "is larger than 10 kB");
  return metadata;
}

function expiryOf(request: CreateKeyRequest, now: Date): Date | null {
  if (request.expires_at === null) return null;
  if (request.expires_at === undefined) return new Date(now.getTime() + defaultLifetimeMs);
  const at = new Date(request.expires_at);
  if (!(at.getTime() > now.getTime())) throw refusedField("/expires_at", "must lie in the future");
  return at;
}

function refusedField(pointer: string, detail: string): Problem {
  return new Problem("invalid_request", `${pointer} ${detail}.`, { errors: [{ pointer, detail }] });
}
