import { allChecks } from "./all-checks.ts";
import type { Check, Finding } from "./check.ts";
import type { Facts } from "./facts.ts";

export interface Result extends Finding, Omit<Check, "find"> {}

export interface Report {
  /** False when a critical check failed. */
  readonly go: boolean;
  /** Share of the checks that passed among those that could look, in percent. */
  readonly score: number;
  readonly results: readonly Result[];
}

export interface Selection {
  /** Ids, or their first parts such as `secrets`. */
  readonly only?: readonly string[];
  readonly skip?: readonly string[];
}

/** @throws Error naming a selected id that no check has: a misspelt one must not pass as "nothing failed" */
export function selectChecks({ only, skip }: Selection): Check[] {
  const matches = (check: Check, wanted: string): boolean => check.id === wanted || check.id.startsWith(`${wanted}.`);
  const unknown = [...(only ?? []), ...(skip ?? [])].filter((wanted) => !allChecks.some((check) => matches(check, wanted)));
  if (unknown.length > 0) throw new Error(`there is no check ${unknown.join(", ")}; --list-checks shows them all`);
  return allChecks.filter(
    (check) => (!only || only.some((wanted) => matches(check, wanted))) && !skip?.some((wanted) => matches(check, wanted)),
  );
}

export function runPreflight(facts: Facts, checks: readonly Check[]): Report {
  const results = checks.map(({ find, ...about }): Result => ({ ...about, ...find(facts) }));
  const looked = results.filter(({ state }) => state !== "skip");
  const passed = looked.filter(({ state }) => state === "pass").length;
  return {
    go: looked.length > 0 && !results.some(({ state, severity }) => state === "fail" && severity === "critical"),
    score: looked.length === 0 ? 0 : Math.round((100 * passed) / looked.length),
    results,
  };
}
