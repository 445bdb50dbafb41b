/** Who pulls the kill switch, and over what they have the right to. */
import type { AuditActor } from "@nexus/audit";
import type { FreezeRequest } from "@nexus/contracts/freezes";
import { assert, type OrganizationId, Problem, toId, uuidOf } from "@nexus/core";
import type { Db } from "@nexus/db";
import { isAdmin, type PersonCaller } from "@nexus/http";
import { findKeyOrganization, type FreezeRow } from "./freezes.store.ts";

export interface Freezer {
  /** uuid */
  userId: string;
  organizationId: OrganizationId;
  /** uuid of the organization */
  tenant: string;
  /** An administrator's freezes hold against everybody else. */
  isAdmin: boolean;
  actor: AuditActor;
}

export function freezerOf(person: PersonCaller): Freezer {
  const userId = uuidOf("user", person.userId);
  const tenant = uuidOf("organization", person.organizationId);
  assert(userId !== undefined && tenant !== undefined, "a verified person has well-formed ids");
  const actor = { kind: "person", id: person.userId } as const;
  return { userId, tenant, organizationId: person.organizationId, isAdmin: isAdmin(person), actor };
}

/** An administrator for whom another service asks. @throws Problem `invalid_request` for ids that are none */
export function forwardedFreezer(by: { user_id: string; organization_id: string }): Freezer {
  const userId = uuidOf("user", by.user_id);
  const tenant = uuidOf("organization", by.organization_id);
  if (userId === undefined || tenant === undefined) throw new Problem("invalid_request", "by names nobody.");
  const actor = { kind: "person", id: by.user_id } as const;
  return { userId, tenant, organizationId: toId("organization", tenant), isAdmin: true, actor };
}

export type Aim = Pick<FreezeRow, "authority" | "target_kind" | "target" | "organization_id">;

/**
 * What a request freezes. Whoever is no administrator freezes within their own organization alone, whatever the kind.
 * @throws Problem `invalid_request`, `forbidden`, `not_found` for another organization and for a key that is none of theirs
 */
export async function aimOf(db: Db, freezer: Freezer, request: FreezeRequest): Promise<Aim> {
  const authority = freezer.isAdmin ? "platform" : "organization";
  const target = targetOf(freezer, request);
  const aim = { authority, target_kind: request.kind, target } as const;
  if (request.kind === "everything" && !freezer.isAdmin)
    throw new Problem("forbidden", "Only an administrator freezes everything; freeze your organization.");
  if (request.kind === "organization") return { ...aim, organization_id: ownOrAny(freezer, uuidOf("organization", target)) };
  if (request.kind === "key") {
    const keyId = uuidOf("key", target);
    const organization = keyId === undefined ? undefined : await findKeyOrganization(db, keyId);
    return { ...aim, organization_id: ownOrAny(freezer, organization) };
  }
  return { ...aim, organization_id: freezer.isAdmin ? null : freezer.tenant };
}

function ownOrAny(freezer: Freezer, organization: string | undefined): string {
  if (organization === undefined || !(freezer.isAdmin || organization === freezer.tenant)) throw new Problem("not_found");
  return organization;
}

/** The target in the one form in which it is kept and compared. */
function targetOf({ tenant }: Freezer, { kind, target }: FreezeRequest): string {
  if (kind === "everything") {
    if (target !== undefined) throw badTarget("stands beside everything, which has none");
    return "";
  }
  if (target === undefined) {
    if (kind === "organization") return toId("organization", tenant);
    throw badTarget("is required");
  }
  if (kind === "owner" && uuidOf("user", target) === undefined) throw badTarget("is not the id of a user");
  if (kind === "environment" && target !== "live" && target !== "test") throw badTarget("is neither live nor test");
  return target;
}

function badTarget(detail: string): Problem {
  return new Problem("invalid_request", `target ${detail}.`, { errors: [{ pointer: "/target", detail }] });
}
