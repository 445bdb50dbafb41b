/** A secret as its rows hold it and as people see it, and whose it is. */
import type { AuditActor } from "@nexus/audit";
import type { Secret, SecretVersion } from "@nexus/contracts/secrets";
import { assert, type OrganizationId, Problem, toId, uuidOf } from "@nexus/core";
import { isAdmin, type PersonCaller } from "@nexus/http";
import type { SecretRow, VersionFacts } from "./secrets.store.ts";

/** A person as the keeper of secrets. */
export interface Keeper {
  /** uuid */
  userId: string;
  /** uuid of the organization */
  tenant: string;
  /** May also keep the installation's own. */
  isAdmin: boolean;
  actor: AuditActor;
}

export function keeperOf(caller: PersonCaller): Keeper {
  const [userId, tenant] = [uuidOf("user", caller.userId), uuidOf("organization", caller.organizationId)];
  assert(userId !== undefined && tenant !== undefined, "a verified person has well-formed ids");
  return { userId, tenant, isAdmin: isAdmin(caller), actor: { kind: "person", id: caller.userId } };
}

/** The organization that a scope stands for; `null`: the installation. @throws Problem `forbidden` */
export function organizationOf(keeper: Keeper, scope: Secret["scope"] = "organization"): string | null {
  if (scope === "organization") return keeper.tenant;
  if (!keeper.isAdmin) throw new Problem("forbidden", "Only an administrator keeps the installation's own secrets.");
  return null;
}

/** Another's secret does not exist for this person. */
export function isKeptBy({ organization_id }: Pick<SecretRow, "organization_id">, keeper: Keeper): boolean {
  return organization_id === null ? keeper.isAdmin : organization_id === keeper.tenant;
}

/** As audit entries want it; the installation's own stand under no organization. */
export function auditedOrganization({ organization_id }: Pick<SecretRow, "organization_id">): OrganizationId | undefined {
  return organization_id === null ? undefined : toId("organization", organization_id);
}

export function presentSecret(row: SecretRow): Secret {
  return {
    id: toId("secret", row.id),
    scope: row.organization_id === null ? "installation" : "organization",
    organization_id: row.organization_id === null ? null : toId("organization", row.organization_id),
    name: row.name,
    readers: row.readers,
    version: row.version,
    created_at: row.created_at.toISOString(),
    created_by: toId("user", row.created_by),
    updated_at: row.updated_at.toISOString(),
    rev: Number(row.rev),
  };
}

export function presentVersion(row: VersionFacts): SecretVersion {
  return {
    version: row.version,
    created_at: row.created_at.toISOString(),
    created_by: toId("user", row.created_by),
    destroyed_at: row.destroyed_at?.toISOString() ?? null,
    wrapped_by: row.wrapped_by,
  };
}
