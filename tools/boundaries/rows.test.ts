import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { places } from "./rows.ts";

const architecture = readFileSync(join(import.meta.dirname, "../../ARCHITECTURE.md"), "utf8");

/** The names after `packages, row N`, without remarks in parentheses. */
function drawnRow(row: number): string[] {
  const line = new RegExp(`^packages, row ${row} +(.+)$`, "m").exec(architecture)?.[1] ?? "";
  return line
    .replaceAll(/\([^)]*\)/g, "")
    .trim()
    .split(/\s+/);
}

it("the drawing in ARCHITECTURE.md shows the packages of the table, row by row", () => {
  const drawn = [1, 2, 3, 4].map(drawnRow);
  const folders = drawn.flat().map((name) => `packages/${name}`);
  expect(folders.toSorted()).toEqual([...places.keys()].filter((folder) => folder.startsWith("packages/")).toSorted());
  for (const [index, row] of drawn.entries()) {
    // Product code never imports the package of tests, wherever it is drawn.
    const below = drawn
      .slice(0, index)
      .flat()
      .filter((name) => name !== "testing");
    for (const name of row) {
      const allowed = places.get(`packages/${name}`)?.mayImport ?? [];
      expect(allowed, name).toEqual(expect.arrayContaining(below.map((other) => `packages/${other}`)));
      const above = drawn.slice(index + 1).flat();
      for (const other of above) expect(allowed, `${name} → ${other}`).not.toContain(`packages/${other}`);
    }
  }
});

it("no package may import what may import it", () => {
  for (const [folder, { mayImport }] of places) {
    for (const other of mayImport) expect(places.get(other)?.mayImport, `${other} → ${folder}`).not.toContain(folder);
  }
});

it("only all-in-one composes services, and only tests import packages/testing", () => {
  for (const [folder, { mayImport }] of places) {
    const composes = mayImport.some((other) => other.startsWith("services/"));
    const starts = ["services/all-in-one", "tests", "bench"].includes(folder);
    expect(composes, folder).toBe(starts);
    if (!["tests", "bench"].includes(folder)) expect(mayImport, folder).not.toContain("packages/testing");
  }
});
