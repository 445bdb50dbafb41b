import { RequestPage, RequestParams, RequestsQuery, RequestStory } from "@nexus/contracts/requests";
import { assert, type Clock, Problem, uuidOf } from "@nexus/core";
import { type Db, decodeCursor, encodeCursor } from "@nexus/db";
import { type App, type Caller, callerOf, isAdmin } from "@nexus/http";
import type { UsageRecorder } from "../usage/usage-recorder.ts";
import { presentRequest } from "./present-request.ts";
import { listRequests, type RequestFilter } from "./requests.store.ts";
import { tellStory } from "./tell-story.ts";

interface RequestDeps {
  db: Db;
  clock: Clock;
  cursorSecret: Buffer;
  recorder: Pick<UsageRecorder, "flush">;
}

const config = { permission: "scope:usage:read" } as const;
const tags = ["usage"];
const thirtyDaysMs = 30 * 86_400_000;

export function addRequestRoutes(app: App, deps: RequestDeps): void {
  app.route({
    method: "GET",
    url: "/v1/requests",
    config,
    schema: {
      summary:
        "Requests with what became of them, newest first: a key sees its own, a person their organization's, an administrator all",
      tags,
      querystring: RequestsQuery,
      response: { 200: RequestPage },
    },
    handler: async (request) => {
      const { limit = 20, cursor } = request.query;
      const filter = filterOf(callerOf(request), request.query, deps.clock.now());
      const after = cursor === undefined ? undefined : decodeCursor(cursor, deps.cursorSecret);
      // Whoever asks after their call sees it: what this process has finished is brought in first.
      await deps.recorder.flush();
      const rows = await listRequests(deps.db, filter, { limit: limit + 1, after });
      const shown = rows.slice(0, limit);
      const last = rows.length > limit ? shown.at(-1) : undefined;
      return {
        data: shown.map(presentRequest),
        next_cursor: last ? encodeCursor(last.occurred_at, last.request_id, deps.cursorSecret) : null,
        has_more: last !== undefined,
      };
    },
  });
  app.route({
    method: "GET",
    url: "/v1/requests/:id",
    config,
    schema: {
      summary: "One request's whole story: who, which budgets with their numbers, every attempt, price, cost, audit entries",
      tags,
      params: RequestParams,
      response: { 200: RequestStory },
    },
    handler: async (request) => {
      const caller = callerOf(request);
      const requestId = uuidOf("request", request.params.id);
      if (requestId === undefined) throw new Problem("not_found");
      await deps.recorder.flush();
      return await tellStory(deps.db, { requestId, ...seenBy(caller), showsAudit: caller.kind === "person" });
    },
  });
}

/** The part of all requests that a caller may see; uuids. */
function seenBy(caller: Caller): { organizationId: string | undefined; keyId: string | undefined } {
  assert(caller.kind !== "service", "the routes let no services in");
  if (isAdmin(caller)) return { organizationId: undefined, keyId: undefined };
  const keyId = caller.kind === "key" ? rowId("key", caller.keyId) : undefined;
  return { organizationId: rowId("organization", caller.organizationId), keyId };
}

/** What a caller may see, narrowed to what it asks for. Another's organization or key is not there. */
function filterOf(caller: Caller, query: RequestsQuery, now: number): RequestFilter {
  const seen = seenBy(caller);
  const organizationId = rowId("organization", query.organization_id);
  const keyId = rowId("key", query.key_id);
  const isOthers = (mine: string | undefined, asked: string | undefined) =>
    mine !== undefined && asked !== undefined && mine !== asked;
  if (isOthers(seen.organizationId, organizationId) || isOthers(seen.keyId, keyId)) throw new Problem("not_found");
  const to = query.to === undefined ? new Date(now + 1) : new Date(query.to);
  const { model, provider, outcome, session, tag } = query;
  return {
    organizationId: seen.organizationId ?? organizationId,
    keyId: seen.keyId ?? keyId,
    userId: rowId("user", query.user_id),
    model,
    provider,
    outcome,
    session,
    tag,
    minCost: query.min_cost_nanos === undefined ? undefined : atMostStored(BigInt(query.min_cost_nanos)),
    from: query.from === undefined ? new Date(to.getTime() - thirtyDaysMs) : new Date(query.from),
    to,
  };
}

/** The largest int8: nothing costs more. */
function atMostStored(nanos: bigint): bigint {
  const most = 2n ** 63n - 1n;
  return nanos < most ? nanos : most;
}

function rowId(kind: "organization" | "key" | "user", id: string | undefined): string | undefined {
  if (id === undefined) return undefined;
  const uuid = uuidOf(kind, id);
  if (uuid === undefined) throw new Problem("not_found");
  return uuid;
}
