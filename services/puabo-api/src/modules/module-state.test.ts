import { expect, test } from "vitest";
import { nextState, worstState } from "./module-state.ts";

test("a module is down after so many failures in a row, not after one", () => {
  let known: Parameters<typeof nextState>[0] = { status: "operational", failuresInARow: 0 };
  known = nextState(known, "failed", 3);
  known = nextState(known, "failed", 3);
  expect(known).toEqual({ status: "operational", failuresInARow: 2 });
  known = nextState(known, "failed", 3);
  expect(known).toEqual({ status: "down", failuresInARow: 3 });
  expect(nextState(known, "degraded", 3)).toEqual({ status: "degraded", failuresInARow: 0 });
});

test("failures that are not in a row do not add up", () => {
  let known: Parameters<typeof nextState>[0] = { status: "operational", failuresInARow: 0 };
  for (const outcome of ["failed", "failed", "operational", "failed", "failed"] as const) known = nextState(known, outcome, 3);
  expect(known.status).toBe("operational");
});

test("maintenance is announced by people and ended by people", () => {
  expect(nextState({ status: "maintenance", failuresInARow: 0 }, "failed", 1).status).toBe("maintenance");
});

test("the platform is as good as its worst module, and nothing known is not good", () => {
  expect(worstState(["operational", "down", "degraded"])).toBe("down");
  expect(worstState(["operational", "unknown"])).toBe("unknown");
  expect(worstState([])).toBe("unknown");
  expect(worstState(["operational"])).toBe("operational");
});
