import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import type { Result } from "./benchmark.ts";

const main = new URL("main.ts", import.meta.url).pathname;

it("--list names every benchmark with what, against and bar", async () => {
  const listed = JSON.parse(await bench("--list", "--json")) as Record<string, string>[];
  expect(listed.map(({ id }) => id)).toEqual([
    "keys-verify-process",
    "keys-verify-http",
    "keys-verify-batch",
    "keys-memory",
    "keys-limits",
    "keys-revoke",
    "gateway-chat",
    "gateway-portkey",
    "gateway-stream",
    "gateway-streams",
    "gateway-start",
    "gateway-budget",
    "memory",
  ]);
  for (const one of listed) expect(Object.keys(one)).toEqual(["id", "what", "against", "bar"]);
  const table = await bench("--list");
  for (const { id, bar } of listed)
    expect(table).toMatch(new RegExp(`^${id} .*${bar!.replaceAll(/[.^$*+?()[\]{}|\\]/g, String.raw`\$&`)}$`, "m"));
});

it("--json prints one object with the value, the bar, every round and the conditions", async () => {
  const result = JSON.parse(await bench("keys-verify-process", "--json", "--rounds", "1", "--seconds", "0.05")) as Result;
  expect(Object.keys(result)).toEqual([
    "id",
    "value",
    "unit",
    "bar",
    "met",
    "against",
    "counts",
    "parts",
    "rounds",
    "conditions",
  ]);
  expect(result).toMatchObject({ id: "keys-verify-process", value: expect.any(Number), met: expect.any(Boolean) });
  expect(result.value).toBeGreaterThan(0);
  expect(result.parts[0]!.value).toBe(result.value);
  expect(result.rounds).toHaveLength(1);
  expect(result.rounds[0]!.samples[0]).toMatchObject({ side: "key-check", errors: 0, cpuMicrosPerRequest: expect.any(Number) });
  for (const name of ["machine", "node", "commit", "concurrency", "rounds"]) expect(result.conditions).toHaveProperty(name);
});

it.each(["no-such-id", "", "keys-verify-process --rounds 0", "memory --size 0", "keys-verify-process keys-verify-http"])(
  "bench %j is a wrong call, told with exit code 2",
  async (line) => {
    await expect(bench(...line.split(" ").filter(Boolean))).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining("usage:"),
    });
  },
);

async function bench(...args: string[]): Promise<string> {
  return (await promisify(execFile)(process.execPath, [main, ...args])).stdout;
}
