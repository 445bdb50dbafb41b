import { assert } from "@nexus/core";
import type { Verifier } from "@nexus/key-check";
import type { UsageRecorder } from "../usage/usage-recorder.ts";
import type { Budgets } from "./budgets.ts";

interface Follow {
  feed: Pick<Verifier["feed"], "onChange" | "onReset" | "announce">;
  recorder: Pick<UsageRecorder, "onSettled">;
  budgets: Budgets;
}

/** Keeps what this process knows of budgets with PostgreSQL: what is changed anywhere, and what its own finished calls cost. */
export function followBudgets({ feed, recorder, budgets }: Follow): void {
  feed.onReset(() => budgets.changed(undefined));
  feed.onChange(({ kind, organizationId }) => {
    if (kind !== "budget") return;
    assert(organizationId !== null, "a budget is of an organization");
    budgets.changed(organizationId);
  });
  recorder.onSettled(({ figures, changes }) => {
    budgets.hear(figures);
    feed.announce(changes);
  });
}
