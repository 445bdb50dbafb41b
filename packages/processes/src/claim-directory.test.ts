import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, it } from "vitest";
import { claimDirectory } from "./claim-directory.ts";
import { startedAt } from "./processes.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "claim-"));
});

it("a folder is held by one process until it is released", async () => {
  const release = await claimDirectory(folder);
  await expect(claimDirectory(folder)).rejects.toThrow(`is in use by process ${process.pid}`);
  await release();
  const again = await claimDirectory(folder);
  await again();
  expect(existsSync(join(folder, "owner.json"))).toBe(false);
});

it("the claim of a process that was killed holds nothing", async () => {
  const holder = spawn("sleep", ["60"]);
  const started = await startedAt(holder.pid!);
  writeFileSync(join(folder, "owner.json"), JSON.stringify({ pid: holder.pid, started }));
  await expect(claimDirectory(folder)).rejects.toThrow(`is in use by process ${holder.pid}`);
  holder.kill("SIGKILL");
  await new Promise((resolve) => holder.once("exit", resolve));
  const release = await claimDirectory(folder);
  expect(JSON.parse(readFileSync(join(folder, "owner.json"), "utf8"))).toMatchObject({ pid: process.pid });
  await release();
});

it.each(["", "{", "[]", '{"pid":1}', JSON.stringify({ pid: process.pid, started: "another time" })])(
  "a claim that reads %j holds nothing",
  async (text) => {
    writeFileSync(join(folder, "owner.json"), text);
    const release = await claimDirectory(folder);
    await release();
  },
);
