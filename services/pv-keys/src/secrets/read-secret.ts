/** A service reads the value of a secret. */
import type { AuditOutcome } from "@nexus/audit";
import type { ReadSecretAnswer, ReadSecretRequest } from "@nexus/contracts/secrets";
import { Problem, toId, uuidOf } from "@nexus/core";
import { inTransaction } from "@nexus/db";
import type { RequestContext } from "@nexus/http";
import { CannotOpen } from "./key-encryption.ts";
import { openValue } from "./sealed-value.ts";
import { orUnavailable, type SecretDeps, usableKeys } from "./secret-deps.ts";
import { auditedOrganization } from "./secret.ts";
import { findSecretByName, findVersion, type SecretRow } from "./secrets.store.ts";

interface ReadInput {
  /** The service's name, by its token. */
  reader: string;
  request: ReadSecretRequest;
  context: RequestContext;
}

/**
 * The audit entry is committed before the value leaves: no entry, no value.
 * @throws Problem `not_found`; `forbidden` for a service that is none of the readers; `unavailable`; CannotOpen
 */
export async function readSecret(deps: SecretDeps, { reader, request, context }: ReadInput): Promise<ReadSecretAnswer> {
  const row = await findSecretByName(deps.db, organizationIn(request), request.name);
  if (!row) throw new Problem("not_found");
  const version = request.version ?? row.version;
  const note = (outcome: AuditOutcome) => auditRead(deps, { row, version, reader, context, outcome });
  if (!row.readers.includes(reader)) {
    await note("denied");
    throw new Problem("forbidden", "This service is none of the secret's readers.");
  }
  let value: string | undefined;
  try {
    value = await openVersion(deps, row, version);
  } catch (error) {
    if (error instanceof CannotOpen) await note("failure");
    throw error;
  }
  if (value === undefined) throw new Problem("not_found", "This version is not there, or its value was destroyed.");
  await note("success");
  return { id: toId("secret", row.id), name: row.name, version, value };
}

function organizationIn({ organization_id }: ReadSecretRequest): string | null {
  return organization_id === undefined ? null : (uuidOf("organization", organization_id) ?? null);
}

async function openVersion(deps: SecretDeps, row: SecretRow, version: number): Promise<string | undefined> {
  const encryption = await usableKeys(deps);
  const stored = await findVersion(deps.db, row.id, version);
  if (!stored?.ciphertext || !stored.wrapped_key) return undefined;
  const { ciphertext, wrapped_key, wrapped_by } = stored;
  const place = { organizationId: row.organization_id, secretId: row.id, version };
  return await orUnavailable(openValue(encryption, { ciphertext, wrapped_key, wrapped_by }, place));
}

interface ReadEvent {
  row: SecretRow;
  version: number;
  reader: string;
  context: RequestContext;
  outcome: AuditOutcome;
}

async function auditRead({ db, audit }: SecretDeps, { row, version, reader, context, outcome }: ReadEvent): Promise<void> {
  await inTransaction(db, (tx) =>
    audit.write(tx, {
      action: "secret.read",
      outcome,
      organizationId: auditedOrganization(row),
      actor: { kind: "service", id: reader },
      targets: [{ kind: "secret", id: toId("secret", row.id) }],
      context,
      details: { name: row.name, version },
    }),
  );
}
