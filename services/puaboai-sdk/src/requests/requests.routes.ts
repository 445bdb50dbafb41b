import { RequestPage, RequestParams, RequestsQuery, RequestStory } from "@nexus/contracts/requests";
import { type Clock, Problem, uuidOf } from "@nexus/core";
import { type Db, decodeCursor, encodeCursor } from "@nexus/db";
import { type App, type Caller, callerOf } from "@nexus/http";
import { narrowed, rowId, seenBy, spanOf } from "../usage/seen-by.ts";
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
      if (requestId === undefined) throw new Problem("not_found", "There is no such request, or it is another's.");
      await deps.recorder.flush();
      return await tellStory(deps.db, { requestId, ...seenBy(caller), isPerson: caller.kind === "person" });
    },
  });
}

function filterOf(caller: Caller, query: RequestsQuery, now: number): RequestFilter {
  const { model, provider, outcome, session, tag, user_id: userId, min_cost_nanos: minCost } = query;
  return {
    ...narrowed(caller, query),
    ...spanOf(query, now),
    userId: rowId("user", userId),
    model,
    provider,
    outcome,
    session,
    tag,
    minCost: minCost === undefined ? undefined : atMostStored(BigInt(minCost)),
  };
}

/** The largest int8: nothing costs more. */
function atMostStored(nanos: bigint): bigint {
  const most = 2n ** 63n - 1n;
  return nanos < most ? nanos : most;
}
