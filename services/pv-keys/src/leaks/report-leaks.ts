import type { AuditActor } from "@nexus/audit";
import type { Db } from "@nexus/db";
import type { RequestContext } from "@nexus/http";
import type { PepperCheck } from "../keys/confirm-peppers.ts";
import type { Peppers } from "../peppers.ts";
import { findLeakedKeys } from "./find-leaked-keys.ts";
import type { LeakedSecret, LeakRow } from "./leaks.store.ts";
import { type LeakDeps, reportLeak } from "./report-leak.ts";

export interface ReportLeaksDeps extends LeakDeps {
  db: Db;
  peppers: Peppers;
  pepperCheck: PepperCheck;
}

interface Seen {
  /** SHA-256 of the whole key, lower-case hex. */
  digest: string;
  source: string;
  url: string;
}

export type Outcome = { leaked: LeakedSecret; action: LeakRow["action"] } | undefined;

/** Transactions at once: a long list must not take every connection from those who verify. */
const together = 4;

/**
 * Each key in its own transaction: one that fails keeps none of the others alive, and the whole report can be sent again.
 * @returns in the order given; `undefined` for what is no key of this installation
 */
export async function reportLeaks(
  deps: ReportLeaksDeps,
  { seen, actor, context }: { seen: readonly Seen[]; actor: AuditActor; context: RequestContext },
): Promise<Outcome[]> {
  const keys = await findLeakedKeys(
    deps,
    seen.map(({ digest }) => digest),
  );
  const outcomes: Outcome[] = seen.map(() => undefined);
  const waiting = seen.flatMap(({ digest, ...place }, index) => {
    const leaked = keys.get(digest);
    return leaked ? [{ index, report: { ...place, leaked, actor, context } }] : [];
  });
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      outcomes[next.index] = { leaked: next.report.leaked, action: await reportLeak(deps, next.report) };
    }
  };
  const done = await Promise.allSettled(Array.from({ length: together }, work));
  for (const result of done) if (result.status === "rejected") throw result.reason;
  return outcomes;
}
