/** What requests asked and were answered, where an administrator has it kept. */
import { type Static, Type } from "typebox";
import { strictObject, Timestamp } from "./common.ts";

const RetentionDays = Type.Integer({ minimum: 1, maximum: 90, description: "days after which a content is deleted" });
const MaxBytes = Type.Integer({
  minimum: 1024,
  maximum: 1_048_576,
  description: "longest text that is kept; the rest is cut off",
});

export const ContentLogParams = strictObject({ organization_id: Type.String({ maxLength: 64, description: "org_…" }) });
export type ContentLogParams = Static<typeof ContentLogParams>;

export const SetContentLogRequest = strictObject({
  enabled: Type.Boolean(),
  retention_days: Type.Optional({ ...RetentionDays, description: "as it was unless told; 7 at first" }),
  max_bytes: Type.Optional({ ...MaxBytes, description: "of each text; as it was unless told; 65536 at first" }),
});

export const ContentLogSettings = strictObject({
  organization_id: Type.String({ description: "org_…" }),
  enabled: Type.Boolean(),
  retention_days: RetentionDays,
  max_bytes: MaxBytes,
  updated_at: Type.Union([Timestamp, Type.Null()], { description: "null: it was never set" }),
  updated_by: Type.Union([Type.String({ description: "usr_…" }), Type.Null()]),
});
export type ContentLogSettings = Static<typeof ContentLogSettings>;

const KeptText = strictObject({
  text: Type.Union([Type.String(), Type.Null()], {
    description: "secrets in it are masked; null: it was sealed under another NEXUS_AUDIT_KEY",
  }),
  bytes: Type.Integer({ description: "of the whole text, before secrets were masked" }),
  cut: Type.Boolean({ description: "the rest was not kept" }),
});

export const RequestContent = strictObject({
  request_id: Type.String({ description: "req_…" }),
  organization_id: Type.String({ description: "org_…" }),
  kept_at: Timestamp,
  expires_at: Timestamp,
  streamed: Type.Boolean({ description: "the answer was a stream, and `answer` is its text" }),
  prompt: Type.Union([KeptText, Type.Null()], {
    description: "the body of the request; null: a guardrail has refused it",
  }),
  answer: Type.Union([KeptText, Type.Null()], { description: "what the client got; null: nothing" }),
});
export type RequestContent = Static<typeof RequestContent>;
