/** How probes become a state. A module is not called down for one lost packet: it takes several failures in a row. */
import type { ModuleCheck, ModuleState } from "@nexus/contracts/modules";

export interface ProbeResult {
  outcome: "operational" | "degraded" | "failed";
  latencyMs: number;
  version?: string | undefined;
  checks: ModuleCheck[];
}

interface Known {
  status: ModuleState;
  failuresInARow: number;
}

/** The state after one more probe. The first failures leave it as it was. */
export function nextState(known: Known, outcome: ProbeResult["outcome"], failuresBeforeDown: number): Known {
  if (known.status === "maintenance") return known;
  if (outcome !== "failed") return { status: outcome, failuresInARow: 0 };
  const failuresInARow = known.failuresInARow + 1;
  return { status: failuresInARow >= failuresBeforeDown ? "down" : known.status, failuresInARow };
}

/** What the platform is when its modules are these: the worst of them; what nobody looked at is worse than what works. */
export function worstState(states: readonly ModuleState[]): ModuleState {
  const order: readonly ModuleState[] = ["down", "degraded", "unknown", "maintenance", "operational"];
  return order.find((state) => states.includes(state)) ?? "unknown";
}
