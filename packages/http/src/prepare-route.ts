/** What every route gets before it exists: its guard, its name for the log, and strictness where its schema is silent. */
import { type FieldError, Problem } from "@nexus/core";
import type { onRequestAsyncHookHandler, onRequestHookHandler, preValidationHookHandler, RouteOptions } from "fastify";
import { Type } from "typebox";
import type { Permission } from "./caller.ts";
import { escapePointer } from "./describe-faults.ts";
import { exchangeOf } from "./exchange.ts";
import type { Guard } from "./guard.ts";
import { answerRaw, type ErrorDialect, toProblem } from "./problem-answer.ts";
import { compileRequestSchema, invalidRequest } from "./request-schema.ts";

interface RouteRules {
  listener: "published" | "internal";
  guardFor(permission: Permission): Guard | undefined;
  dialectOf(path: string): ErrorDialect | undefined;
  /** For routes of plugins, which cannot name one; `undefined` outside their registration. */
  unnamed(): Permission | undefined;
}

const noQuery = Type.Object({}, { additionalProperties: false });

/**
 * Changes the options in place: Fastify's `onRoute` hook reads them back.
 * @throws Error for a route that names no permission, or one that nobody can have where it stands
 */
export function prepareRoute(route: RouteOptions, rules: RouteRules): void {
  const permission = route.config?.permission ?? rules.unnamed();
  const fault = permissionFault(permission, rules.listener);
  if (fault !== undefined || permission === undefined) throw new Error(`the route ${String(route.method)} ${route.url} ${fault}`);
  const dialect = rules.dialectOf(route.url);
  const guard = rules.guardFor(permission);
  route.onRequest = [enter(route), ...(guard ? [admit(guard)] : []), ...list(route.onRequest)];
  if (route.config?.rawBody) {
    passBodyThrough(route, dialect);
    return;
  }
  // Other APIs' dialects decide for themselves what they ignore.
  if (dialect) return;
  route.schema = { querystring: noQuery, ...route.schema };
  if (!route.schema.body) route.preValidation = [refuseBody, ...list(route.preValidation)];
}

function permissionFault(permission: Permission | undefined, listener: RouteRules["listener"]): string | undefined {
  if (permission === undefined) return "names no permission";
  if (permission === "service")
    return listener === "internal" ? undefined : "is for services, which come to the private listener only";
  if (listener === "internal")
    return permission === "public" ? undefined : `asks for ${permission}, which nobody has on the private listener`;
  return undefined;
}

function list<T>(hooks: T | T[] | undefined): T[] {
  return hooks === undefined ? [] : Array.isArray(hooks) ? hooks : [hooks];
}

function enter(route: RouteOptions): onRequestHookHandler {
  const { url } = route;
  const rawBody = route.config?.rawBody === true;
  const takesForm = route.config?.takesForm === true;
  const quiet = route.config?.quiet === true;
  return (request, _reply, done) => {
    const exchange = exchangeOf(request.raw);
    exchange.route = url;
    exchange.rawBody = rawBody;
    exchange.takesForm = takesForm;
    exchange.quiet = quiet;
    // Text with it could not be stored, and no path or parameter of ours has it.
    if (request.raw.url?.includes("%00")) done(new Problem("malformed_request", "The URL holds U+0000."));
    else done();
  };
}

/** Before the body is read: a stranger does not get to fill our memory. */
function admit(guard: Guard): onRequestAsyncHookHandler {
  return async (request) => {
    exchangeOf(request.raw).caller = await guard(request);
  };
}

/** A route without a body schema takes none, or `{}` as many clients send for nothing. */
const refuseBody: preValidationHookHandler = (request, _reply, done) => {
  const { body } = request;
  if (body === undefined || body === null) {
    done();
    return;
  }
  const names = typeof body === "object" && !Array.isArray(body) ? Object.keys(body) : undefined;
  // Bytes come from a parser of the route's own.
  if (names?.length === 0 || Buffer.isBuffer(body)) {
    done();
    return;
  }
  const errors: FieldError[] = names
    ? names.map((name) => ({ pointer: `/${escapePointer(name)}`, detail: "is not a known field" }))
    : [{ pointer: "", detail: "must be empty" }];
  done(invalidRequest(errors));
};

/** The schema of a raw body is for the reference alone, and what fails after the answer was hijacked still gets an end. */
function passBodyThrough(route: RouteOptions, dialect: ErrorDialect | undefined): void {
  route.validatorCompiler = (part) => (part.httpPart === "body" ? acceptAnything : compileRequestSchema(part));
  const { handler } = route;
  route.handler = async function handleRaw(request, reply): Promise<unknown> {
    try {
      return await handler.call(this, request, reply);
    } catch (error) {
      if (!reply.sent) throw error;
      answerRaw(exchangeOf(request.raw), toProblem(error), dialect);
      return undefined;
    }
  };
}

const acceptAnything = (value: unknown): { value: unknown } => ({ value });
