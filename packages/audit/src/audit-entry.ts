/**
 * What an audit entry is, and the bytes that stand for it. These bytes are hashed, proved and exported, so their shape
 * changes only together with `schemaVersion`.
 */
import { createHmac, hash, hkdfSync } from "node:crypto";
import { canonicalJson, type Json } from "./canonical-json.ts";

export const schemaVersion = 1;

export interface AuditActor {
  kind: "person" | "key" | "service" | "system" | "anonymous";
  /** `usr_…`, `key_…` or a service's name. */
  id?: string | undefined;
}

export interface AuditTarget {
  kind: string;
  id: string;
}

/** Where a request came from; `ip` and `user_agent` are personal and stored apart. */
export interface AuditContext {
  request_id?: string | undefined;
  client_request_id?: string | undefined;
  ip?: string | undefined;
  user_agent?: string | undefined;
  trace_id?: string | undefined;
  session_id?: string | undefined;
  key_id?: string | undefined;
}

export type AuditOutcome = "success" | "failure" | "denied";
type JsonMembers = { readonly [name: string]: Json | undefined };

/** The part of a row that its canonical bytes hold: everything but the time of recording, the bytes and the MAC. */
export interface AuditBody {
  id: string;
  /** RFC 3339, UTC, milliseconds. */
  occurred_at: string;
  organization_id: string | null;
  action: string;
  outcome: AuditOutcome;
  actor: JsonMembers;
  targets: readonly Json[];
  context: JsonMembers;
  details: JsonMembers;
  schema_version: number;
  writer_id: string;
  writer_seq: string;
}

/** RFC 8785 bytes of an entry, the same whether it comes from memory or out of its row. */
export function canonicalEntry(body: AuditBody): Buffer {
  const members: { [Name in keyof AuditBody]: Json } = {
    id: body.id,
    occurred_at: body.occurred_at,
    organization_id: body.organization_id,
    action: body.action,
    outcome: body.outcome,
    actor: body.actor,
    targets: body.targets,
    context: body.context,
    details: body.details,
    schema_version: body.schema_version,
    writer_id: body.writer_id,
    writer_seq: body.writer_seq,
  };
  return Buffer.from(canonicalJson(members), "utf8");
}

/** What stands in place of a personal value: it proves the value to whoever is shown it, and hides it once the salt is gone. */
export function commitmentOf(salt: Buffer, value: string): string {
  return `sha256:${hash("sha256", Buffer.concat([salt, Buffer.from(value, "utf8")]), "hex")}`;
}

/** The key of one writer, HKDF-SHA-256 (RFC 5869) of the installation's audit key: a writer cannot sign for another by mistake. */
export function writerMacKey(auditKey: string, writerId: string): Buffer {
  return Buffer.from(hkdfSync("sha256", auditKey, writerId, "nexus audit writer 1", 32));
}

export function macOf(key: Buffer, canonical: Buffer): Buffer {
  return createHmac("sha256", key).update(canonical).digest();
}
