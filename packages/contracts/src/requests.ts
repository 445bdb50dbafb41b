/** `GET /v1/requests`: what became of each request, with all its attempts. */
import { type Static, Type } from "typebox";
import { Nanos, page, pageQuery, strictObject, Timestamp } from "./common.ts";
import { UsageEvent } from "./usage.ts";

const orNull = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);
const Id = Type.String({ maxLength: 64 });

export const RequestParams = strictObject({
  id: Type.String({ maxLength: 64, description: "req_…: the x-request-id of the answer" }),
});

export const RequestsQuery = strictObject({
  ...pageQuery,
  organization_id: Type.Optional(Type.String({ maxLength: 64, description: "for administrators; the others see their own" })),
  key_id: Type.Optional(Id),
  user_id: Type.Optional(Id),
  model: Type.Optional(
    Type.String({ minLength: 1, maxLength: 200, description: "of any attempt, or as the client named it: a route's name too" }),
  ),
  provider: Type.Optional(Type.String({ minLength: 1, maxLength: 200, description: "of any attempt" })),
  outcome: Type.Optional(
    Type.Union(
      [Type.Literal("ok"), Type.Literal("error"), Type.Literal("aborted"), Type.Literal("crash"), Type.Literal("overrun")],
      { description: "of the last attempt" },
    ),
  ),
  session: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  tag: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
  min_cost_nanos: Type.Optional(Nanos),
  from: Type.Optional(
    Type.String({ format: "date-time", maxLength: 40, description: "at or after; 30 days before `to` unless told" }),
  ),
  to: Type.Optional(Type.String({ format: "date-time", maxLength: 40, description: "before; now unless told" })),
});
export type RequestsQuery = Static<typeof RequestsQuery>;

const summary = {
  id: Type.String({ description: "req_…" }),
  occurred_at: Timestamp,
  organization_id: Type.String(),
  key_id: orNull(Type.String()),
  user_id: orNull(Type.String()),
  session: orNull(Type.String()),
  tags: Type.Array(Type.String()),
  endpoint: Type.String(),
  stream: Type.Boolean(),
  requested_model: orNull(Type.String({ description: "as the client named it: a model or a route" })),
  model: Type.String({ description: "of the last attempt" }),
  provider: Type.String({ description: "of the last attempt" }),
  outcome: Type.String({ description: "of the last attempt" }),
  http_status: orNull(Type.Integer()),
  error_code: orNull(Type.String()),
  attempts: Type.Integer(),
  input_tokens: Type.Integer({ description: "of all attempts" }),
  output_tokens: Type.Integer({ description: "of all attempts" }),
  cost_nanos: Nanos,
  duration_ms: Type.Integer({ description: "from the request to the end of its last attempt" }),
};
export const RequestSummary = strictObject(summary);
export type RequestSummary = Static<typeof RequestSummary>;
export const RequestPage = page(RequestSummary);

/** One budget that a call was let through by. */
const DecidedBudget = strictObject({
  budget_id: Type.String(),
  account_id: Type.String(),
  level: Type.String(),
  subject: orNull(Type.String()),
  period: Type.String(),
  enforcement: Type.String(),
  limit_nanos: Nanos,
  settled_nanos: Type.String({ ...Nanos, description: "spent, as the gateway process knew it then" }),
  granted_nanos: Type.String({
    ...Nanos,
    description: "held by all gateway processes, for calls under way and in reserve, as it knew it then",
  }),
  window_start: orNull(Timestamp),
  resets_at: orNull(Timestamp),
});

const Attempt = strictObject({
  ...UsageEvent.properties,
  started_ms: Type.Integer({ description: "after the request came" }),
  reserved_nanos: Type.String({ ...Nanos, description: "set aside for the attempt at each hard budget" }),
  budgets: Type.Array(DecidedBudget, { description: "those that it is charged to; empty where nothing could be charged" }),
  cached_answer: Type.Boolean(),
  guardrail: orNull(Type.String()),
  guardrail_action: orNull(Type.String()),
});

export const RequestStory = strictObject({
  ...summary,
  key_name: orNull(Type.String()),
  user_name: orNull(Type.String()),
  client_request_id: orNull(Type.String()),
  trace_id: orNull(Type.String()),
  attempts: Type.Array(Attempt),
  audit_entries: Type.Array(
    strictObject({
      id: Type.String({ description: "evt_…" }),
      recorded_at: Timestamp,
      action: Type.String(),
      outcome: Type.String(),
      actor: Type.Record(Type.String(), Type.Unknown()),
      targets: Type.Array(Type.Unknown()),
    }),
    { description: "of the request's organization; for its people and administrators" },
  ),
});
export type RequestStory = Static<typeof RequestStory>;
