/** What organizations may spend, and parts of them. */
import { type Static, Type } from "typebox";
import { Nanos, page, pageQuery, printable, strictObject, Timestamp } from "./common.ts";

const Level = Type.Union([
  Type.Literal("organization"),
  Type.Literal("user"),
  Type.Literal("key"),
  Type.Literal("model"),
  Type.Literal("tag"),
  Type.Literal("session"),
  Type.Literal("pool"),
  Type.Literal("credit"),
]);
const Period = Type.Union([Type.Literal("total"), Type.Literal("day"), Type.Literal("week"), Type.Literal("month")], {
  description: "periods of the calendar in UTC; a week begins on Monday; total: never begins anew",
});
const Enforcement = Type.Union([Type.Literal("hard"), Type.Literal("soft")], {
  description: "hard: refuses what it does not cover; soft: warns only",
});
const Subject = Type.String({
  minLength: 1,
  maxLength: 200,
  pattern: printable,
  description: "whose: usr_…, key_…, a model, a tag, a session, a pool's name; `*`: one budget for each of them",
});
const AlertPercents = Type.Array(Type.Integer({ minimum: 1, maximum: 1000 }), {
  maxItems: 10,
  uniqueItems: true,
  description: "shares of the limit at which the webhook is told; 50, 80 and 100 unless told",
});

export const BudgetParams = strictObject({ id: Type.String({ maxLength: 64, description: "bud_…" }) });
export const SetBudgetParams = strictObject({
  id: Type.String({ maxLength: 64, description: "bud_…; or org_…: what the organization may spend in total" }),
});
export const BudgetsQuery = strictObject({
  ...pageQuery,
  organization_id: Type.Optional(Type.String({ maxLength: 64 })),
  level: Type.Optional(Level),
});

export const SetBudgetRequest = strictObject({
  limit_nanos: Nanos,
  enforcement: Type.Optional(Enforcement),
  alert_percents: Type.Optional(AlertPercents),
});
export type SetBudgetRequest = Static<typeof SetBudgetRequest>;

export const CreateBudgetRequest = strictObject({
  organization_id: Type.String({ maxLength: 64 }),
  level: Type.Union(
    Level.anyOf.filter(({ const: level }) => level !== "credit"),
    {
      description: "credit is made by adding credit",
    },
  ) as unknown as typeof Level,
  subject: Type.Optional(Subject),
  period: Type.Optional(Period),
  ...SetBudgetRequest.properties,
});
export type CreateBudgetRequest = Static<typeof CreateBudgetRequest>;

export const Budget = strictObject({
  id: Type.String({ description: "bud_…" }),
  organization_id: Type.String(),
  level: Level,
  subject: Type.Union([Type.String(), Type.Null()], { description: "`*`: one for each of them; null: the organization's" }),
  period: Period,
  enforcement: Enforcement,
  limit_nanos: Nanos,
  settled_nanos: Type.String({
    ...Nanos,
    description: "spent in the window that is open; 0 with the subject `*`: see its accounts",
  }),
  granted_nanos: Type.String({
    ...Nanos,
    description: "held by gateway processes: for calls under way, and in reserve for the next ones",
  }),
  available_nanos: Type.String({ ...Nanos, description: "limit − settled − granted, at least 0; 0 while it is frozen" }),
  alert_percents: Type.Array(Type.Integer()),
  resets_at: Type.Union([Timestamp, Type.Null()]),
  frozen_at: Type.Union([Timestamp, Type.Null()], {
    description: "since when it pays for nothing, because a provider billed more than was set aside",
  }),
  updated_at: Timestamp,
});
export type Budget = Static<typeof Budget>;

export const BudgetPage = page(Budget);
export const BudgetList = strictObject({ data: Type.Array(Budget) });

/** One window of a budget, of one subject. */
export const BudgetAccount = strictObject({
  id: Type.String({ description: "a uuid, as budget decisions of requests name it" }),
  subject: Type.Union([Type.String(), Type.Null()]),
  window_start: Type.Union([Timestamp, Type.Null()], { description: "null: it has no windows" }),
  resets_at: Type.Union([Timestamp, Type.Null()]),
  settled_nanos: Nanos,
  granted_nanos: Nanos,
  updated_at: Timestamp,
});
export const BudgetAccountsQuery = strictObject(pageQuery);
export const BudgetAccountPage = page(BudgetAccount);

export const CreditParams = strictObject({ organization_id: Type.String({ maxLength: 64 }) });
export const AddCreditRequest = strictObject({
  amount_nanos: Type.String({
    pattern: "^-?[1-9]\\d{0,18}$",
    description: "nano-dollars; below zero takes credit back",
    "x-must": "be a whole number of nano-dollars (10^-9 USD) in quotes, and not 0",
  }),
  reference: Type.String({
    pattern: "^[!-~]{1,200}$",
    description: "your own name of the payment: the same one counts once",
  }),
  note: Type.Optional(Type.String({ maxLength: 500, pattern: printable })),
});
export const CreditEntry = strictObject({
  id: Type.String({ description: "crd_…" }),
  amount_nanos: Type.String(),
  reference: Type.String(),
  note: Type.Union([Type.String(), Type.Null()]),
  created_at: Timestamp,
});
export const AddCreditAnswer = strictObject({ entry: CreditEntry, budget: Budget });
export const CreditQuery = strictObject(pageQuery);
export const CreditPage = page(CreditEntry);
