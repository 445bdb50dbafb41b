/** `GET /v1/keys/:id/usage`: how often a key was decided about, and how. */
import { type Static, Type } from "typebox";
import { strictObject, Timestamp } from "./common.ts";

export const KeyUsageQuery = strictObject({
  from: Type.Optional(Type.String({ format: "date-time", description: "30 days before `to` unless told" })),
  to: Type.Optional(Type.String({ format: "date-time", description: "now unless told" })),
  by: Type.Optional(
    Type.Union([Type.Literal("hour"), Type.Literal("day")], {
      default: "day",
      description: "at most 31 days by the hour, 400 by the day",
    }),
  ),
});
export type KeyUsageQuery = Static<typeof KeyUsageQuery>;

export const KeyUsage = strictObject({
  data: Type.Array(
    strictObject({
      start: Timestamp,
      version: Type.Integer({ description: "which of the key's secrets" }),
      service: Type.String({ description: "who decided" }),
      outcome: Type.String({ description: "valid, or why it was refused" }),
      uses: Type.Integer({ minimum: 1 }),
    }),
    { description: "oldest first; written in batches, so some seconds late" },
  ),
  total: Type.Integer({ minimum: 0, description: "valid uses" }),
  quota: Type.Union(
    [
      strictObject({
        limit: Type.Integer(),
        used: Type.Integer({
          description: "in this period; what processes have leased and not spent counts as used until they return it",
        }),
        held: Type.Integer({
          description: "of `used`: blocks that processes have leased and not yet accounted for, as they were leased",
        }),
        left: Type.Integer({ minimum: 0 }),
        resets_at: Type.Union([Timestamp, Type.Null()], { description: "null: never" }),
      }),
      Type.Null(),
    ],
    { description: "how the key's quota stands; null for a key without one" },
  ),
});
export type KeyUsage = Static<typeof KeyUsage>;
