import { expect, test } from "vitest";
import type { Model } from "./catalogue.ts";
import { orderOf, type Route } from "./route.ts";

const targets = [
  { model: { id: "a" } as Model, weight: 3 },
  { model: { id: "b" } as Model, weight: 1 },
  { model: { id: "c" } as Model, weight: 1 },
];
const ids = (route: Route, random?: () => number) => orderOf(route, random).map(({ id }) => id);

test("ordered targets are tried as they stand", () => {
  expect(ids({ id: "r", strategy: "ordered", targets })).toEqual(["a", "b", "c"]);
});

test("weighted ones are drawn by weight, and each comes once", () => {
  const route: Route = { id: "r", strategy: "weighted", targets };
  expect(ids(route, () => 0)).toEqual(["a", "b", "c"]);
  expect(ids(route, () => 0.59)[0]).toBe("a");
  expect(ids(route, () => 0.61)[0]).toBe("b");
  expect(ids(route, () => 0.999_999)).toEqual(["c", "b", "a"]);
  const first = new Map<string, number>();
  for (let n = 0; n < 5000; n++) {
    const order = ids(route);
    expect(order.toSorted()).toEqual(["a", "b", "c"]);
    first.set(order[0]!, (first.get(order[0]!) ?? 0) + 1);
  }
  // Six standard deviations either way.
  expect(Math.abs(first.get("a")! - 3000)).toBeLessThan(210);
});
