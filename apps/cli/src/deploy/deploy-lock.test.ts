import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, it } from "vitest";
import { takeDeployLock } from "./deploy-lock.ts";

const base = mkdtempSync(join(tmpdir(), "nexus-lock-"));
beforeEach(() => rmSync(join(base, ".nexus"), { recursive: true, force: true }));
afterAll(() => rmSync(base, { recursive: true, force: true }));
const alive = () => true;
const gone = () => false;

it("refuses a second deployment while the first runs, naming its process", () => {
  takeDeployLock(base, { pid: 41, isAlive: alive });
  expect(() => takeDeployLock(base, { pid: 42, isAlive: alive })).toThrow("process 41");
});

it("is free again after release", () => {
  takeDeployLock(base, { pid: 41, isAlive: alive })();
  expect(() => takeDeployLock(base, { pid: 42, isAlive: alive })).not.toThrow();
});

it("takes over from a process that is gone", () => {
  takeDeployLock(base, { pid: 41, isAlive: alive });
  expect(() => takeDeployLock(base, { pid: 42, isAlive: gone })).not.toThrow();
});
