import type { Facts } from "./facts.ts";

export interface Finding {
  readonly state: "pass" | "fail" | "skip";
  /** What was seen. Never a secret's value. */
  readonly evidence: string;
}

/** One check as data. `find` is pure: it looks at facts that were gathered before, so a test can plant a fault. */
export interface Check {
  /** Stable for ever. */
  readonly id: string;
  /** A failed critical check is a no-go; a warning is not. */
  readonly severity: "critical" | "warning";
  readonly title: string;
  /** What a pass proves. */
  readonly proves: string;
  readonly fix: string;
  readonly find: (facts: Facts) => Finding;
}

export const pass = (evidence: string): Finding => ({ state: "pass", evidence });
export const skip = (evidence: string): Finding => ({ state: "skip", evidence });

/** Passes without faults; else fails and names each. */
export function verdict(faults: readonly string[], evidence: string): Finding {
  return faults.length === 0 ? pass(evidence) : { state: "fail", evidence: faults.join("; ") };
}
