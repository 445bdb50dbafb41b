/** Who is calling, and what a route asks of them. */
import { allowsScope, assertNever, type KeyId, type OrganizationId, Problem, type SessionId, type UserId } from "@nexus/core";

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
  organizationId: OrganizationId;
  /** The person whose key it is; `null` for a key of an organization or a service. */
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
 * - `public`: anybody; no credential is looked at.
 * - `person`: someone signed in. `admin`: someone signed in with the role `admin`.
 * - `scope:x`: someone signed in, or a key that holds the scope.
 * - `service`: another service, on the private listener.
 */
export type Permission = "public" | "person" | "admin" | `scope:${string}` | "service";

/** @throws Problem `forbidden` when this caller may not do that */
export function authorize(caller: Caller, permission: Permission): void {
  if (permission === "public" || mayUse(caller, permission)) return;
  throw new Problem("forbidden", refusalOf(permission));
}

function mayUse(caller: Caller, permission: Exclude<Permission, "public">): boolean {
  switch (caller.kind) {
    case "service":
      return permission === "service";
    case "person":
      return permission === "admin" ? caller.roles.includes("admin") : permission !== "service";
    case "key":
      return permission.startsWith("scope:") && allowsScope(caller.scopes, permission.slice("scope:".length));
    default:
      return assertNever(caller);
  }
}

function refusalOf(permission: Permission): string {
  if (permission === "admin") return "Only an administrator may do that.";
  if (permission === "person") return "Only a signed-in person may do that, not a key.";
  if (permission === "service") return "Only another service may do that.";
  return `The key lacks the scope ${permission.slice("scope:".length)}.`;
}

/** True for an administrator of the platform. */
export function isAdmin(caller: Caller): boolean {
  return caller.kind === "person" && caller.roles.includes("admin");
}
