import type { AuditWriter } from "@nexus/audit";
import type { CreatedKey, CreateKeyRequest } from "@nexus/contracts/keys";
import { allowsScope, assert, type Clock, generateApiKey, newUuid, Problem, toId, uuidOf } from "@nexus/core";
import { type Db, inTransaction } from "@nexus/db";
import type { PersonCaller, RequestContext } from "@nexus/http";
import { keyDigest, type Peppers, storedHash } from "../peppers.ts";
import type { PepperCheck } from "./confirm-peppers.ts";
import { defaultLifetimeMs, defaultScopes, metadataLimitBytes, presentKey } from "./key.ts";
import { insertKey, type NewKey, setRevision } from "./keys.store.ts";
import { storedJsonBytes } from "./metadata-size.ts";

interface CreateKeyDeps {
  db: Db;
  clock: Clock;
  audit: AuditWriter;
  peppers: Peppers;
  pepperCheck: PepperCheck;
}

interface CreateKeyInput {
  caller: PersonCaller;
  request: CreateKeyRequest;
  context: RequestContext;
}

/** A new key of the person's organization. The secret in the answer is nowhere else. @throws Problem `forbidden`, `invalid_request` */
export async function createKey(deps: CreateKeyDeps, { caller, request, context }: CreateKeyInput): Promise<CreatedKey> {
  if (request.kind === "svc" && !caller.roles.includes("admin"))
    throw new Problem("forbidden", "Only an administrator makes service keys.");
  const { key, secret } = newKey(deps, caller, request);
  if (!deps.pepperCheck.confirmed) await deps.pepperCheck.confirm();
  try {
    return await inTransaction(deps.db, async (tx) => {
      const made = await insertKey(tx, key);
      await deps.audit.write(tx, {
        action: "key.created",
        outcome: "success",
        organizationId: caller.organizationId,
        actor: { kind: "person", id: caller.userId },
        targets: [{ kind: "key", id: toId("key", key.id) }],
        context,
        details: {
          kind: key.kind,
          environment: key.environment,
          prefix: key.displayPrefix,
          scopes: key.scopes,
          models: key.models,
          expires_at: key.expiresAt?.toISOString() ?? null,
        },
      });
      const rev = await setRevision(tx, key);
      return { key: presentKey({ ...made, rev }), secret };
    });
  } catch (error) {
    throw isForeignKeyViolation(error) ? accountGone(error) : error;
  }
}

function newKey(deps: CreateKeyDeps, caller: PersonCaller, request: CreateKeyRequest): { key: NewKey; secret: string } {
  const { kind = "sk", environment = "live" } = request;
  const now = new Date(deps.clock.now());
  const { key: secret, displayPrefix } = generateApiKey(kind, environment);
  const pepper = deps.peppers.versions.get(deps.peppers.current);
  assert(pepper !== undefined, "the current pepper is one of the versions");
  const organizationId = uuidOf("organization", caller.organizationId);
  const userId = uuidOf("user", caller.userId);
  assert(organizationId !== undefined && userId !== undefined, "a verified person has well-formed ids");
  const owner =
    kind === "svc" ? { ownerKind: "service" as const, ownerUserId: null } : { ownerKind: "user" as const, ownerUserId: userId };
  const key: NewKey = {
    id: newUuid(now.getTime()),
    organizationId,
    ...owner,
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
  return { key, secret };
}

function isForeignKeyViolation(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === "23503";
}

/** A token outlives its person by five minutes at most. */
function accountGone(cause: unknown): Problem {
  return new Problem("unauthenticated", "The account of this token is no longer there.", {
    cause,
    headers: { "www-authenticate": 'Bearer realm="nexus", error="invalid_token"' },
  });
}

function scopesOf(request: CreateKeyRequest, kind: string): readonly string[] {
  const { scopes } = request;
  if (kind !== "svc" && scopes && allowsScope(scopes, "keys:verify"))
    throw refusedField("/scopes", "may hold keys:verify for service keys alone");
  if (scopes && scopes.length > 0) return [...new Set(scopes)];
  if (kind === "sk" && scopes === undefined) return defaultScopes;
  throw refusedField("/scopes", "must name at least one scope for this kind of key");
}

function metadataOf(request: CreateKeyRequest): Record<string, unknown> {
  const metadata = request.metadata ?? {};
  const bytes = storedJsonBytes(metadata);
  if (bytes === undefined) throw refusedField("/metadata", "is nested too deeply or holds half a character");
  if (bytes > metadataLimitBytes) throw refusedField("/metadata", "is larger than 16 kB");
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
