/** The one place that decides whether a caller may use a route. */
import { allowsScope, Problem } from "@nexus/core";
import type { FastifyRequest } from "fastify";
import { type Caller, isAdmin, type Permission } from "./caller.ts";
import type { ServiceTokens } from "./service-tokens.ts";

export type Guard = (request: FastifyRequest) => Promise<Caller>;

interface GuardOptions {
  authenticate(request: FastifyRequest): Promise<Caller | undefined>;
  serviceTokens: ServiceTokens;
}

const realm = 'Bearer realm="nexus"';

/** The guard of one permission; `undefined` where everybody may pass. */
export function guardFor(permission: Permission, options: GuardOptions): Guard | undefined {
  if (permission === "public") return undefined;
  if (permission === "service") return async (request) => serviceCaller(request, options.serviceTokens);
  return async (request) => {
    const caller = await authenticated(request, options);
    if (!allows(permission, caller)) throw refusal(permission, caller);
    return caller;
  };
}

function serviceCaller(request: FastifyRequest, tokens: ServiceTokens): Caller {
  const presented = bearerOf(request.headers.authorization);
  if (presented === undefined) throw unauthenticated();
  const name = tokens.callerOf(presented);
  if (name === undefined) throw invalidToken();
  return { kind: "service", name };
}

async function authenticated(request: FastifyRequest, options: GuardOptions): Promise<Caller> {
  let caller: Caller | undefined;
  try {
    caller = await options.authenticate(request);
  } catch (error) {
    if (error instanceof Problem && error.code === "unauthenticated") throw invalidToken(error);
    throw error;
  }
  if (!caller) throw unauthenticated("No credential came with the request. Programs send theirs as Authorization: Bearer …");
  return caller;
}

/** True when the permission lets this caller pass. */
function allows(permission: Exclude<Permission, "public" | "service">, caller: Caller): boolean {
  if (caller.kind === "service") return false;
  if (permission === "person") return caller.kind === "person";
  if (permission === "key") return caller.kind === "key";
  if (permission === "admin") return isAdmin(caller);
  if (caller.kind === "person") return permission.startsWith("scope:") || isAdmin(caller);
  return allowsScope(caller.scopes, scopeIn(permission));
}

/** `scope:a:b` and `admin|scope:a:b` ask a key for `a:b`. */
function scopeIn(permission: Permission): string {
  return permission.slice(permission.indexOf("scope:") + "scope:".length);
}

/** RFC 6750 §2.1; the scheme's name is case-insensitive (RFC 9110 §11.1). */
export function bearerOf(header: string | undefined): string | undefined {
  if (header === undefined || header.length > 8192) return undefined;
  return /^bearer +([^\s]+) *$/i.exec(header)?.[1];
}

/** RFC 6750 §3: no error code when no credential was presented. */
function unauthenticated(detail?: string): Problem {
  return new Problem("unauthenticated", detail, { headers: { "www-authenticate": realm } });
}

function invalidToken(cause?: Problem): Problem {
  return new Problem("unauthenticated", cause?.detail, {
    headers: { "www-authenticate": `${realm}, error="invalid_token"`, ...cause?.headers },
    ...(cause?.extensions ? { extensions: cause.extensions } : {}),
    ...(cause?.cause === undefined ? {} : { cause: cause.cause }),
  });
}

function refusal(permission: Permission, caller: Caller): Problem {
  if (permission === "admin" || (permission.startsWith("admin|") && caller.kind === "person"))
    return new Problem("forbidden", "Only an administrator may do that.");
  if (permission === "key") return new Problem("forbidden", "This is for keys, and you are no key.");
  if (permission === "person") return new Problem("forbidden", "Only a signed-in person may do that, not a key.");
  const scope = scopeIn(permission);
  return new Problem("forbidden", `The key lacks the scope ${scope}.`, {
    headers: { "www-authenticate": `${realm}, error="insufficient_scope", scope="${scope}"` },
    extensions: { required_scope: scope },
  });
}
