/** What every change of one secret has in common: its lock, whose it is, its audit entry, its revision. */
import type { AuditEntry } from "@nexus/audit";
import { inChangeTransaction } from "@nexus/change-feed";
import type { Secret } from "@nexus/contracts/secrets";
import { Problem, uuidOf } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { RequestContext } from "@nexus/http";
import { auditSecret, type SecretDeps } from "./secret-deps.ts";
import { isKeptBy, type Keeper, presentSecret } from "./secret.ts";
import { findSecret, lockSecret, type SecretRow, setRevision } from "./secrets.store.ts";

export interface SecretInput {
  keeper: Keeper;
  /** `sec_…` */
  secretId: string;
  context: RequestContext;
}

interface Applied {
  action: `secret.${string}`;
  details: AuditEntry["details"];
}

/** @throws Problem `not_found`, also for another's secret, and what `apply` throws */
export async function changeSecret(
  deps: SecretDeps,
  { keeper, secretId, context }: SecretInput,
  apply: (tx: Db, before: SecretRow, at: Date) => Promise<Applied>,
): Promise<Secret> {
  const id = uuidOf("secret", secretId);
  if (id === undefined) throw new Problem("not_found");
  return await inChangeTransaction(deps, async (tx) => {
    const row = await lockSecret(tx, id);
    if (!row || !isKeptBy(row, keeper)) throw new Problem("not_found");
    const applied = await apply(tx, row, new Date(deps.clock.now()));
    await auditSecret(deps, tx, { ...applied, row, keeper, context });
    return presentSecret(await setRevision(tx, id));
  });
}

/** A secret that this person keeps. @throws Problem `not_found` */
export async function getKeptSecret(db: Db, keeper: Keeper, secretId: string): Promise<SecretRow> {
  const id = uuidOf("secret", secretId);
  const row = id === undefined ? undefined : await findSecret(db, id);
  if (!row || !isKeptBy(row, keeper)) throw new Problem("not_found");
  return row;
}
