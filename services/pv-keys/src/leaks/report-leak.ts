import { hash } from "node:crypto";
import type { AuditActor } from "@nexus/audit";
import { inChangeTransaction } from "@nexus/change-feed";
import { assert, newUuid, toId } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { RequestContext } from "@nexus/http";
import type { ChangeKeyDeps } from "../keys/change-key.ts";
import type { KeyManager } from "../keys/key-manager.ts";
import { revokeKey } from "../keys/revoke-key.ts";
import { switchKey } from "../keys/switch-key.ts";
import { findLeakAction, insertLeak, type LeakedSecret, type LeakRow, lockLeakedKey } from "./leaks.store.ts";

export interface LeakDeps extends ChangeKeyDeps {
  config: { NEXUS_LEAK_ACTION: "revoke" | "disable" | "report" };
}

export interface LeakReport {
  leaked: LeakedSecret;
  source: string;
  /** Empty where it was not told. */
  url: string;
  /** Who told. */
  actor: AuditActor;
  context: RequestContext;
}

/** Characters of an address that are kept. */
const longestUrl = 2000;

/**
 * Writes the report down and does what the operator's policy says, in one transaction. The same report again does nothing:
 * a key that its owner enabled again meanwhile stays enabled.
 * @returns what was done when it was first reported
 */
export async function reportLeak(deps: LeakDeps, report: LeakReport): Promise<LeakRow["action"]> {
  const { leaked, source } = report;
  const url = storable(report.url).slice(0, longestUrl).toWellFormed();
  const place = hash("sha256", `${source}\0${url}`, "buffer");
  return await inChangeTransaction(deps, async (tx) => {
    const key = await lockLeakedKey(tx, leaked);
    assert(key, "keys are never deleted");
    const action = actionFor(deps.config.NEXUS_LEAK_ACTION, key);
    const { keyId: key_id, organizationId: organization_id, version } = leaked;
    const id = newUuid(deps.clock.now());
    if (!(await insertLeak(tx, { id, organization_id, key_id, version, source, url, place, action })))
      return await findLeakAction(tx, { key_id, version, place });
    await deps.audit.write(tx, {
      action: "key.leak_reported",
      outcome: "success",
      organizationId: toId("organization", organization_id),
      actor: report.actor,
      targets: [{ kind: "key", id: toId("key", key_id) }],
      context: report.context,
      details: { leak_id: toId("leak", id), prefix: key.prefix, version, source, state: key.state, action },
      // An address may name somebody.
      personal: url === "" ? undefined : { url },
    });
    await act(deps, { tx, action, report });
    return action;
  });
}

/** A secret that works no more harms nobody, so its key, which may have a newer one, is left alone. */
function actionFor(
  policy: LeakDeps["config"]["NEXUS_LEAK_ACTION"],
  { state, retired }: { state: "active" | "disabled" | "revoked"; retired: boolean },
): LeakRow["action"] {
  if (policy === "report" || retired || state === "revoked") return "none";
  if (policy === "revoke") return "revoked";
  return state === "disabled" ? "none" : "disabled";
}

async function act(
  deps: LeakDeps,
  { tx, action, report: { leaked, actor, context } }: { tx: Db; action: LeakRow["action"]; report: LeakReport },
): Promise<void> {
  if (action === "none") return;
  const organizationId = toId("organization", leaked.organizationId);
  const manager: KeyManager = { by: { kind: "leak_policy" }, organizationId, tenant: leaked.organizationId, actor };
  const input = { manager, keyId: toId("key", leaked.keyId), context };
  if (action === "revoked") await revokeKey({ ...deps, db: tx }, input);
  else await switchKey({ ...deps, db: tx }, input, "disabled");
}

/** PostgreSQL stores no U+0000. */
function storable(text: string): string {
  return text.replaceAll("\u0000", "\ufffd");
}
