/** What an organization may spend. For administrators. */
import { type Static, Type } from "typebox";
import { Nanos, page, pageQuery, strictObject, Timestamp } from "./common.ts";

export const BudgetParams = strictObject({ organization_id: Type.String({ maxLength: 64 }) });
export const BudgetsQuery = strictObject(pageQuery);

export const SetBudgetRequest = strictObject({ limit_nanos: Nanos });
export type SetBudgetRequest = Static<typeof SetBudgetRequest>;

export const Budget = strictObject({
  id: Type.String({ description: "bud_…" }),
  organization_id: Type.String(),
  level: Type.Literal("organization"),
  period: Type.Literal("total"),
  limit_nanos: Nanos,
  settled_nanos: Type.String({ ...Nanos, description: "spent" }),
  granted_nanos: Type.String({ ...Nanos, description: "set aside for calls under way" }),
  updated_at: Timestamp,
});
export type Budget = Static<typeof Budget>;

export const BudgetPage = page(Budget);
