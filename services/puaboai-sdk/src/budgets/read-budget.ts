/** What an administrator asks of budgets, checked beyond its schema. */
import type { CreateBudgetRequest } from "@nexus/contracts/budgets";
import { type NanoDollars, Problem, uuidOf } from "@nexus/core";
import { type BudgetLevel, each } from "./budget.ts";

/** The largest int8. */
export const mostNanos = 2n ** 63n - 1n;

/** @throws Problem `invalid_request` */
export function readLimit(text: string): NanoDollars {
  const limit = BigInt(text);
  if (limit > mostNanos) throw wrong("/limit_nanos", `must be at most ${mostNanos}`);
  return limit;
}

/** As it is stored: uuids without their prefix. @throws Problem `invalid_request` */
export function readSubject({ level, subject }: Pick<CreateBudgetRequest, "level" | "subject">): string {
  if (level === "organization" || level === "credit") {
    if (subject !== undefined) throw wrong("/subject", `has no meaning at the level ${level}`);
    return "";
  }
  if (subject === undefined) throw wrong("/subject", `is required at the level ${level}`);
  if (level === "pool") {
    if (subject === each) throw wrong("/subject", "must be a name: a pool is shared by the keys that name it");
    return subject;
  }
  return subject === each || (level !== "user" && level !== "key") ? subject : uuidSubject(level, subject);
}

function uuidSubject(level: "user" | "key", subject: string): string {
  const uuid = uuidOf(level, subject);
  if (uuid === undefined) throw wrong("/subject", `must be the id of a ${level}, or *`);
  return uuid;
}

/** @throws Problem `invalid_request` */
export function readPeriod(level: BudgetLevel, period: CreateBudgetRequest["period"] = "total"): typeof period {
  if (level === "session" && period !== "total") throw wrong("/period", "must be total: a session has an end of its own");
  return period;
}

function wrong(pointer: string, detail: string): Problem {
  return new Problem("invalid_request", undefined, { errors: [{ pointer, detail }] });
}
