/** What administrators do to the content log. Each with its audit entry, and word to every gateway process, in one transaction. */
import type { AuditWriter } from "@nexus/audit";
import { type ChangeDeps, inChangeTransaction, recordGatewayChange } from "@nexus/change-feed";
import { Problem, toId, uuidOf } from "@nexus/core";
import { type Db, isForeignKeyViolation } from "@nexus/db";
import type { ChangedBy } from "@nexus/http";
import { lockSettings, markErased, type StoredSettings, upsertSettings } from "./content-log-settings.store.ts";
import type { ContentLog } from "./content-log.ts";

export interface ContentLogDeps extends ChangeDeps {
  audit: AuditWriter;
  contents: Pick<ContentLog, "load" | "flush" | "deleteErased" | "textOf">;
}

interface Asked {
  /** uuid */
  organizationId: string;
  enabled: boolean;
  /** As it was, unless told. */
  retentionDays: number | undefined;
  maxBytes: number | undefined;
}

export const defaults = { retentionDays: 7, maxBytes: 64 * 1024 } as const;

/**
 * Switches the log of an organization on or off; this process goes by it when it answers, the others within the bound of the
 * change feed, and PostgreSQL takes nothing more once it is off. @throws Problem `not_found`
 */
export async function setContentLog(deps: ContentLogDeps, asked: Asked, by: ChangedBy): Promise<StoredSettings> {
  const { organizationId, enabled } = asked;
  const row = await commit(deps, organizationId, async (tx) => {
    const before = await lockSettings(tx, organizationId);
    const terms = {
      enabled,
      retention_days: asked.retentionDays ?? before?.retention_days ?? defaults.retentionDays,
      max_bytes: asked.maxBytes ?? before?.max_bytes ?? defaults.maxBytes,
    };
    const updatedBy = uuidOf("user", by.caller.userId) ?? "";
    const after = await upsertSettings(tx, { organization_id: organizationId, ...terms, updated_by: updatedBy }).catch(asProblem);
    await write(tx, deps, by, {
      action: "content_log.set",
      organizationId,
      details: { before: before ? termsOf(before) : null, after: terms },
    });
    return after;
  });
  await deps.contents.load();
  return row;
}

/**
 * Erases what is kept of an organization: no reader gets it any more, and it is deleted batch by batch. The log stays on, if it is.
 * @throws Problem `not_found` where it never was
 */
export async function eraseContents(deps: ContentLogDeps, organizationId: string, by: ChangedBy): Promise<void> {
  // What has ended by now is among what is erased.
  await deps.contents.flush();
  await commit(deps, organizationId, async (tx) => {
    const before = await lockSettings(tx, organizationId);
    if (!before) throw new Problem("not_found", "Nothing was ever kept of this organization.");
    await markErased(tx, organizationId);
    await write(tx, deps, by, { action: "content_log.erased", organizationId, details: {} });
    return before;
  });
  await deps.contents.deleteErased(organizationId);
}

async function commit(
  deps: ContentLogDeps,
  organizationId: string,
  work: (tx: Db) => Promise<StoredSettings>,
): Promise<StoredSettings> {
  return await inChangeTransaction(deps, async (tx) => {
    const done = await work(tx);
    await recordGatewayChange(tx, { kind: "gateway_settings", subjectId: organizationId, organizationId });
    return done;
  });
}

interface Entry {
  action: "content_log.set" | "content_log.erased";
  organizationId: string;
  details: Parameters<AuditWriter["write"]>[1]["details"];
}

async function write(tx: Db, { audit }: ContentLogDeps, { caller, context }: ChangedBy, entry: Entry): Promise<void> {
  const organizationId = toId("organization", entry.organizationId);
  await audit.write(tx, {
    action: entry.action,
    outcome: "success",
    organizationId,
    actor: { kind: "person", id: caller.userId },
    targets: [{ kind: "content_log", id: organizationId }],
    context,
    details: entry.details,
  });
}

function termsOf({ enabled, retention_days, max_bytes }: StoredSettings) {
  return { enabled, retention_days, max_bytes };
}

function asProblem(error: unknown): never {
  throw isForeignKeyViolation(error) ? new Problem("not_found", "There is no such organization.") : error;
}
