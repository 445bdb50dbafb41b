/** What every use case of secrets needs, and how the trouble of a key-encryption key is told. */
import type { AuditEntry, AuditWriter } from "@nexus/audit";
import type { ChangeDeps } from "@nexus/change-feed";
import { type Clock, Problem, toId } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { RequestContext } from "@nexus/http";
import type { KeyEncryptionCheck } from "./confirm-key-encryption.ts";
import { CannotOpen, type KeyEncryption } from "./key-encryption.ts";
import { auditedOrganization, type Keeper } from "./secret.ts";
import type { SecretRow } from "./secrets.store.ts";

export interface SecretDeps extends ChangeDeps {
  clock: Clock;
  audit: AuditWriter;
  /** `undefined`: this installation was given no key-encryption key. */
  keyEncryption: KeyEncryption | undefined;
  keyEncryptionCheck: KeyEncryptionCheck;
}

/** The key-encryption keys, after they were found to be the right ones. @throws Problem `unavailable`; ConfigError */
export async function usableKeys({ keyEncryption, keyEncryptionCheck }: SecretDeps): Promise<KeyEncryption> {
  if (!keyEncryption) {
    throw new Problem("unavailable", "This installation has no key-encryption key: NEXUS_KEY_ENCRYPTION_KEYS is not set.");
  }
  await keyEncryptionCheck.confirm();
  return keyEncryption;
}

/** What a KMS throws that is away becomes an answer to come back later. @throws Problem `unavailable`; CannotOpen */
export async function orUnavailable<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (cause instanceof CannotOpen) throw cause;
    throw new Problem("unavailable", undefined, { cause, headers: { "retry-after": "2" } });
  }
}

interface SecretEvent {
  action: `secret.${string}`;
  row: Pick<SecretRow, "id" | "organization_id" | "name">;
  keeper: Keeper;
  context: RequestContext;
  details: AuditEntry["details"];
}

/** The audit entry of a change to one secret, in the transaction of the change. */
export async function auditSecret({ audit }: { audit: AuditWriter }, tx: Db, event: SecretEvent): Promise<void> {
  await audit.write(tx, {
    action: event.action,
    outcome: "success",
    organizationId: auditedOrganization(event.row),
    actor: event.keeper.actor,
    targets: [{ kind: "secret", id: toId("secret", event.row.id) }],
    context: event.context,
    details: { name: event.row.name, ...event.details },
  });
}
