import { spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { commandLine, isRunning, startedAt } from "@nexus/processes";
import { waitFor } from "@nexus/testing";
import { afterEach, describe, expect, test } from "vitest";
import { openRedis } from "./open-redis.ts";
import { findRedisServer } from "./server/find-redis-server.ts";
import { spawnRedisServer } from "./server/spawn-redis-server.ts";
import { startRedis } from "./start-redis.ts";

const path = process.env["PATH"] ?? "";
const binary = await findRedisServer(path);

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "start-redis-"));
  closing.push(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

async function canBeUsed(url: string): Promise<boolean> {
  const cache = openRedis({ url }, { commandTimeoutMs: 2000 });
  try {
    return (await cache.waitUntilReady(5000)) && (await cache.client.set("k", "v")) === "OK";
  } finally {
    await cache.close();
  }
}

test("without an installed Redis the embedded one is started, leaves its port when stopped and nothing on disk", async () => {
  const directory = await temporaryDirectory();
  const redis = await startRedis({ directory, path: "/nowhere" });
  expect(redis.kind).toBe("embedded");
  expect(await canBeUsed(redis.target.url)).toBe(true);
  await redis.stop();
  const cache = openRedis(redis.target);
  expect(await cache.waitUntilReady(300)).toBe(false);
  await cache.close();
  expect(await readdir(directory)).toEqual([]);
});

test("the embedded one is taken where it is preferred, and two of them share nothing", async () => {
  const [one, two] = await Promise.all([startRedis({ preferEmbedded: true, path }), startRedis({ preferEmbedded: true, path })]);
  expect([one.kind, two.kind]).toEqual(["embedded", "embedded"]);
  expect(one.target.url).not.toBe(two.target.url);
  await Promise.all([one.stop(), two.stop()]);
});

test("a record that names another program's pid stops nothing", async () => {
  const directory = await temporaryDirectory();
  // Looks like a Redis that an owner long gone has left, but is another program.
  const bystander = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
  closing.push(async () => void bystander.kill("SIGKILL"));
  const gone = { pid: 999_999_999, startedAt: "1" };
  const records: Record<string, unknown> = {
    "redis-1-1.json": { owner: gone, server: { pid: bystander.pid, startedAt: await startedAt(bystander.pid!) } },
    "redis-1-2.json": { owner: gone, server: { pid: bystander.pid, startedAt: "1" } },
    "redis-1-3.json": { owner: gone, server: { pid: -1, startedAt: "1" } },
    "redis-1-4.json": "half a reco",
    "redis-1-5.json": null,
  };
  for (const [name, record] of Object.entries(records)) await writeFile(join(directory, name), JSON.stringify(record));
  await writeFile(join(directory, "other.json"), "not ours");
  const redis = await startRedis({ directory, preferEmbedded: true });
  await redis.stop();
  expect(await isRunning(bystander.pid!)).toBe(true);
  expect(await readdir(directory)).toEqual(["other.json"]);
});

test("a program that is no Redis is one clear error", async () => {
  const directory = await temporaryDirectory();
  const impostor = join(directory, "redis-server");
  await writeFile(impostor, "#!/bin/sh\necho 'what is this'\nexit 3\n");
  await chmod(impostor, 0o755);
  await expect(startRedis({ path: directory })).rejects.toThrow(/redis-server ended with 3 instead of starting: .*what is this/);
  await mkdir(join(directory, "empty"));
  expect(await findRedisServer(join(directory, "empty"))).toBeUndefined();
});

/** A process of its own that starts a Redis and waits to be killed. */
async function startOwner(directory: string): Promise<{ pid: number; server: number; url: string; kill(): void }> {
  const module = fileURLToPath(new URL("start-redis.ts", import.meta.url));
  const program = `const { startRedis } = await import(${JSON.stringify(module)});
    const { target } = await startRedis(${JSON.stringify({ directory, path })});
    console.log(target.url); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  closing.push(async () => void child.kill("SIGKILL"));
  let printed = "";
  child.stdout.on("data", (chunk: Buffer) => (printed += chunk.toString()));
  const url = await waitFor(() => printed.includes("\n") && printed.trim());
  const name = await waitFor(async () => (await readdir(directory)).find((found) => found.startsWith(`redis-${child.pid}-`)));
  const { server } = JSON.parse(await readFile(join(directory, name), "utf8")) as { server: { pid: number } };
  return { pid: child.pid!, server: server.pid, url, kill: () => child.kill("SIGKILL") };
}

// Only where there is a Redis to start.
describe.each(binary === undefined ? [] : [{ binary }])("with $binary", ({ binary }) => {
  test("it answers, shows its password to nobody, keeps nothing, and is gone when stopped", async () => {
    const directory = await temporaryDirectory();
    const lines: string[] = [];
    const redis = await startRedis({ directory, path, log: (line) => lines.push(line) });
    expect(redis.kind).toBe("redis-server");
    expect(await canBeUsed(redis.target.url)).toBe(true);
    const [record = ""] = await readdir(directory);
    const pid = Number(/-(\d+)\.json$/.exec(record)?.[1]);
    const password = new URL(redis.target.url).password;
    expect(password.length).toBeGreaterThanOrEqual(32);
    expect(await commandLine(pid)).toContain("redis-server");
    expect(await commandLine(pid)).not.toContain(password);
    expect(await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "")).not.toContain(password);
    expect(lines.join("\n") + (await readFile(join(directory, record), "utf8"))).not.toContain(password);
    await redis.stop();
    expect(await isRunning(pid)).toBe(false);
    expect(await readdir(directory)).toEqual([]);
  });

  test("it ends with the process that started it, however that ends, and nothing is in the way of the next start", async () => {
    const directory = await temporaryDirectory();
    const owner = await startOwner(directory);
    expect(await isRunning(owner.server)).toBe(true);
    owner.kill();
    await waitFor(async () => !(await isRunning(owner.server)));
    const next = await startRedis({ directory, path });
    expect(await canBeUsed(next.target.url)).toBe(true);
    expect(await readdir(directory)).toHaveLength(1);
    await next.stop();
  });

  test("a second start beside the first leaves the first alone", async () => {
    const directory = await temporaryDirectory();
    const owner = await startOwner(directory);
    const second = await startRedis({ directory, path });
    expect(await isRunning(owner.server)).toBe(true);
    expect(await canBeUsed(owner.url)).toBe(true);
    await second.stop();
    expect(await canBeUsed(owner.url)).toBe(true);
  });

  test("one that outlived its owner all the same is stopped by the next start", async () => {
    const directory = await temporaryDirectory();
    const left = await spawnRedisServer({ binary });
    closing.push(() => left.stop());
    const record = {
      owner: { pid: 999_999_999, startedAt: "1" },
      server: { pid: left.pid, startedAt: await startedAt(left.pid) },
    };
    await writeFile(join(directory, "redis-1-2.json"), JSON.stringify(record));
    const lines: string[] = [];
    const next = await startRedis({ directory, path, log: (line) => lines.push(line) });
    expect(await isRunning(left.pid)).toBe(false);
    expect(lines[0]).toContain(String(left.pid));
    await next.stop();
  });

  test("a taken port is one clear error", async () => {
    const first = await spawnRedisServer({ binary });
    closing.push(() => first.stop());
    await expect(spawnRedisServer({ binary, port: first.port })).rejects.toThrow(/instead of starting: .*(already|in use|bind)/);
  });
});
