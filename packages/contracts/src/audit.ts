/** `GET /api/audit/events`: who did what, when, from where. For administrators. */
import { type Static, Type } from "typebox";
import { page, pageQuery, strictObject, Timestamp } from "./common.ts";

export const AuditEventsQuery = strictObject({
  ...pageQuery,
  action: Type.Optional(Type.String({ maxLength: 100, pattern: "^[a-z_]+(\\.[a-z_]+)+$", description: "such as `key.created`" })),
  organization_id: Type.Optional(Type.String({ maxLength: 60, description: "org_…" })),
  from: Type.Optional(Type.String({ format: "date-time", description: "recorded at or after" })),
  to: Type.Optional(Type.String({ format: "date-time", description: "recorded before" })),
});
export type AuditEventsQuery = Static<typeof AuditEventsQuery>;

const Members = Type.Record(Type.String(), Type.Unknown());

export const AuditEvent = strictObject({
  id: Type.String({ description: "evt_…" }),
  occurred_at: Timestamp,
  recorded_at: Timestamp,
  organization_id: Type.Union([Type.String(), Type.Null()], { description: "null where no tenant was known yet" }),
  action: Type.String(),
  outcome: Type.Union([Type.Literal("success"), Type.Literal("failure"), Type.Literal("denied")]),
  actor: Members,
  targets: Type.Array(Type.Unknown()),
  context: Members,
  details: Members,
  writer: strictObject({ id: Type.String(), sequence: Type.String({ description: "gap-free per writer; a decimal string" }) }),
});
export type AuditEvent = Static<typeof AuditEvent>;

export const AuditEventsPage = page(AuditEvent);
