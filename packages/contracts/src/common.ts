/** Schema parts that every service shares. */
import { type Static, type TSchema, Type } from "typebox";

/** An object that refuses fields it does not know. */
export function strictObject<P extends Record<string, TSchema>>(
  properties: P,
  options: { description?: string; $id?: string } = {},
) {
  return Type.Object(properties, { ...options, additionalProperties: false });
}

/** RFC 3339 in UTC, as the API writes every time. */
export const Timestamp = Type.String({ format: "date-time", description: "RFC 3339, UTC" });

/** One line without control characters and halves of characters: it stands in tables and logs, as it was sent. */
export const printable = "^(?:[^\\u0000-\\u001f\\u007f\\ud800-\\udfff]|[\\ud800-\\udbff][\\udc00-\\udfff])*$";

/** Nano-dollars (10⁻⁹ USD) as a decimal string: they may exceed 2^53. */
export const Nanos = Type.String({
  pattern: "^\\d{1,19}$",
  description: "nano-dollars (10^-9 USD), a decimal string",
  "x-must": "be a whole number of nano-dollars (10^-9 USD) in quotes, not below 0",
});

/** RFC 9457 problem document. */
export const ProblemDocument = Type.Object(
  {
    type: Type.String({ description: "/problems/<code>" }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.Optional(Type.String()),
    code: Type.String({ description: "stable for ever; see docs/problems" }),
    request_id: Type.String(),
    errors: Type.Optional(Type.Array(strictObject({ pointer: Type.String(), detail: Type.String() }))),
  },
  { description: "RFC 9457 problem document" },
);
export type ProblemDocument = Static<typeof ProblemDocument>;

/** Query of every list: newest first, at most 100 a page. */
export const pageQuery = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 20 })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 512, description: "`next_cursor` of the page before" })),
};

/** Of requests that make something: sent again with the same key within 24 hours, they make nothing twice. */
export const idempotencyHeaders = Type.Object({
  "idempotency-key": Type.Optional(
    Type.String({
      pattern: "^[!-~]{1,255}$",
      description: "your own name for this request, such as a UUID; repeat it to repeat it safely",
    }),
  ),
});

/** `{ data, next_cursor, has_more }`. */
export function page<T extends TSchema>(item: T) {
  return strictObject({
    data: Type.Array(item),
    next_cursor: Type.Union([Type.String(), Type.Null()]),
    has_more: Type.Boolean(),
  });
}
