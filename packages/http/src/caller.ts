/** Who is calling, and what a route may ask of them. */
import type { ApiKeyKind, KeyId, OrganizationId, SessionId, UserId } from "@nexus/core";

export interface PersonCaller {
  kind: "person";
  userId: UserId;
  organizationId: OrganizationId;
  sessionId: SessionId;
  roles: readonly string[];
}

export interface KeyCaller {
  kind: "key";
  keyId: KeyId;
  /** What kind of key: scopes alone do not tell a root key from a service key that may do everything. */
  keyKind: ApiKeyKind;
  organizationId: OrganizationId;
  /** `null` for a key of the organization itself. */
  ownerUserId: UserId | null;
  scopes: readonly string[];
  /** `null`: every model. */
  models: readonly string[] | null;
}

export interface ServiceCaller {
  kind: "service";
  name: string;
}

export type Caller = PersonCaller | KeyCaller | ServiceCaller;

/**
 * - `public`: anybody; nobody is asked who they are.
 * - `key`: any key, whatever it may do.
 * - `person`: a signed-in person; `admin`: one whose roles include "admin".
 * - `scope:area:action`: a person, or a key holding that scope; `admin|scope:area:action`: an administrator, or such a key.
 * - `service`: another service by its token, on the private listener only.
 */
export type Permission = "public" | "key" | "person" | "admin" | "service" | `scope:${string}` | `admin|scope:${string}`;

/** True for an administrator of the platform. */
export function isAdmin(caller: Caller): boolean {
  return caller.kind === "person" && caller.roles.includes("admin");
}
