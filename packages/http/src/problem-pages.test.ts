import { readdirSync, readFileSync } from "node:fs";
import { problemCatalogue } from "@nexus/core";
import { describe, expect, it } from "vitest";
import { problemPages } from "./public-routes.ts";

const codes = Object.keys(problemCatalogue);
const pages = readdirSync(problemPages).filter((name) => name !== "README.md");

describe("the pages of problems", () => {
  it("there is one for every code, and none for anything else", () => {
    expect(pages.toSorted()).toEqual(codes.map((code) => `${code}.md`).toSorted());
  });

  it.each(Object.entries(problemCatalogue))("%s says what the catalogue says, why, and what to do", (code, { status, title }) => {
    const page = readFileSync(new URL(`${code}.md`, problemPages), "utf8");
    expect(page.startsWith(`# ${title}\n`)).toBe(true);
    expect(page).toContain(`\`${code}\`, status ${status}`);
    for (const part of ["## What happened", "## Why", "## What to do"]) expect(page).toContain(part);
    const lines = page.split("\n").filter((line) => line.trim() !== "");
    expect(lines.length).toBeGreaterThanOrEqual(8);
    expect(lines.length).toBeLessThanOrEqual(20);
    for (const [, link] of page.matchAll(/\]\((\w+)\.md\)/g)) expect(codes).toContain(link);
  });
});
