import { expect, it } from "vitest";
import { allowsScope, scopePattern } from "./scope.ts";

it("a scope allows itself, its area's wildcard allows the area, a lone star everything", () => {
  expect(allowsScope(["ai:chat"], "ai:chat")).toBe(true);
  expect(allowsScope(["ai:*"], "ai:chat")).toBe(true);
  expect(allowsScope(["*"], "keys:verify")).toBe(true);
});

it("a scope never reaches outside its area", () => {
  expect(allowsScope([], "ai:chat")).toBe(false);
  expect(allowsScope(["ai:chat"], "ai:embeddings")).toBe(false);
  expect(allowsScope(["ai:*"], "keys:verify")).toBe(false);
  expect(allowsScope(["a:*"], "ai:chat")).toBe(false);
  expect(allowsScope(["ai:cha"], "ai:chat")).toBe(false);
});

it("scopes have one form", () => {
  for (const good of ["*", "ai:*", "ai:chat", "usage:read"]) expect(good).toMatch(scopePattern);
  for (const bad of ["", "ai", "ai:", ":chat", "ai:chat:x", "AI:chat", "ai:**", "*:chat"]) expect(bad).not.toMatch(scopePattern);
});
