/** The kill switch of pv-keys: what is frozen is refused by every verifier until it is thawed. */
import { type Static, Type } from "typebox";
import { page, pageQuery, printable, strictObject, Timestamp } from "./common.ts";
import { Receipt } from "./receipts.ts";

export const FreezeKind = Type.Union([
  Type.Literal("everything"),
  Type.Literal("organization"),
  Type.Literal("owner"),
  Type.Literal("environment"),
  Type.Literal("model"),
  Type.Literal("provider"),
  Type.Literal("key"),
]);
export type FreezeKind = Static<typeof FreezeKind>;

export const Freeze = strictObject({
  id: Type.String({ description: "frz_…" }),
  authority: Type.Union([Type.Literal("platform"), Type.Literal("organization")], {
    description: "platform: an administrator's, and only one may thaw it",
  }),
  kind: FreezeKind,
  target: Type.Union([Type.String(), Type.Null()], { description: "null for everything" }),
  organization_id: Type.Union([Type.String(), Type.Null()], { description: "holds within it alone; null: everywhere" }),
  reason: Type.String(),
  created_by: Type.String(),
  created_at: Timestamp,
  thawed_at: Type.Union([Timestamp, Type.Null()], { description: "null: it holds" }),
  thawed_by: Type.Union([Type.String(), Type.Null()]),
  rev: Type.Integer({ description: "change feed revision of the last change" }),
});
export type Freeze = Static<typeof Freeze>;

export const FreezeRequest = strictObject({
  kind: FreezeKind,
  target: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      pattern: printable,
      description:
        "org_…, usr_…, key_…, live or test, or the name of a model or provider; absent for everything. An organization is yours unless named",
    }),
  ),
  reason: Type.String({ minLength: 1, maxLength: 500, pattern: printable }),
});
export type FreezeRequest = Static<typeof FreezeRequest>;

export const ThawRequest = strictObject({ id: Type.String({ maxLength: 64, description: "frz_…" }) });
export type ThawRequest = Static<typeof ThawRequest>;

/** The administrator for whom another service of the platform asks; it has checked who they are. */
const administrator = strictObject({ user_id: Type.String(), organization_id: Type.String() });
export const ForwardedFreezeRequest = strictObject({ ...FreezeRequest.properties, by: administrator });
export const ForwardedThawRequest = strictObject({ ...ThawRequest.properties, by: administrator });

export const FreezeAnswer = strictObject({
  freeze: Freeze,
  effective_after_ms: Type.Union([Type.Number(), Type.Null()], {
    description: "measured, from the commit until every node acted on it; null while nodes are pending",
  }),
  receipt: Receipt,
});
export type FreezeAnswer = Static<typeof FreezeAnswer>;

export const ListFreezesQuery = strictObject({
  ...pageQuery,
  all: Type.Optional(Type.Boolean({ description: "true: those that were thawed as well" })),
});
export const FreezePage = page(Freeze);
