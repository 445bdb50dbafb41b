import { spawn, spawnSync } from "node:child_process";
import { createHash, randomFillSync } from "node:crypto";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync, writeSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateApiKey } from "@nexus/core";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { openKeyFinder } from "./find-keys.ts";

const base = mkdtempSync(join(tmpdir(), "nexus-scan-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));
let directory: string;
let number = 0;
beforeEach(() => {
  directory = join(base, String(number++));
  mkdirSync(directory);
});

const main = join(import.meta.dirname, "..", "main.ts");

async function scan(...args: string[]) {
  const child = spawn(process.execPath, [main, "keys", "scan", ...args], { stdio: ["pipe", "pipe", "pipe"] });
  const output = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output.stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
  child.stdin.end();
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { code, ...output };
}

const write = (name: string, content: string | Uint8Array): string => {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
};
const sha256 = (key: string): string => createHash("sha256").update(key).digest("hex");

describe("what is found", () => {
  it("names file, line and column of every kind of key, and shows no more than its prefix", async () => {
    const keys = (["sk", "rk", "svc"] as const).flatMap((kind) =>
      (["live", "test"] as const).map((environment) => generateApiKey(kind, environment)),
    );
    const path = write("keys.txt", keys.map(({ key }, index) => `${"é".repeat(index)}x=${key}y\n`).join("\n"));
    const { code, stdout, stderr } = await scan(directory);
    expect(code).toBe(1);
    expect(stdout.trim().split("\n")).toEqual(
      keys.map(({ displayPrefix }, index) => `${path}:${index * 2 + 1}:${index * 2 + 3}: ${displayPrefix}`),
    );
    for (const { key, displayPrefix } of keys) expect(stdout + stderr).not.toContain(key.slice(0, displayPrefix.length + 1));
  });

  it("prints one JSON object a line, and the hashes that the intake takes", async () => {
    const [one, two] = [generateApiKey("sk", "live"), generateApiKey("svc", "test")];
    write("a", `${one.key}${two.key}\n${one.key}`);
    const lines = (await scan("--json", "--hashes", directory)).stdout.trim().split("\n");
    const [first, second, third, summary] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(first).toMatchObject({ kind: "key", line: 1, column: 1, prefix: one.displayPrefix, sha256: sha256(one.key) });
    expect(second).toMatchObject({ line: 1, column: one.key.length + 1, sha256: sha256(two.key) });
    expect(third).toMatchObject({ line: 2, column: 1, sha256: sha256(one.key) });
    expect(summary).toMatchObject({ kind: "summary", keys: 2, places: 3, files: 1, unreadable: 0 });
    expect((await scan("--hashes", directory)).stdout).toBe(`${sha256(one.key)}\n${sha256(two.key)}\n`);
    expect((await scan("--json", directory)).stdout).not.toContain("sha256");
  });

  it("says nothing of mistyped keys, and nothing of random data", async () => {
    const { key } = generateApiKey("sk", "live");
    const flip = (at: number): string => key.slice(0, at) + (key[at] === "a" ? "b" : "a") + key.slice(at + 1);
    write("mistyped", Array.from({ length: 48 }, (_, index) => flip(11 + index)).join("\n"));
    write("random", randomFillSync(Buffer.alloc(16 * 1024 * 1024)));
    const letters = randomFillSync(Buffer.alloc(4 * 1024 * 1024))
      .toString("base64url")
      .replaceAll("-", "pv_sk_live_");
    write("letters", letters);
    expect(await scan(directory)).toMatchObject({ code: 0, stdout: "" });
  });

  it("is found in binary data, at its very beginning and at its very end", async () => {
    const [first, last] = [generateApiKey("rk", "live"), generateApiKey("svc", "live")];
    const noise = randomFillSync(Buffer.alloc(3 * 1024 * 1024 + 7));
    write("blob", Buffer.concat([Buffer.from(first.key), noise, Buffer.from(last.key)]));
    const { stdout } = await scan("--json", directory);
    const found = stdout
      .trim()
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as { prefix: string; line: number });
    expect(found.map(({ prefix }) => prefix)).toEqual([first.displayPrefix, last.displayPrefix]);
    expect(found[1]?.line).toBe(noise.filter((byte) => byte === 10).length + 1);
  });

  it("is found in what comes through a pipe", async () => {
    const { key, displayPrefix } = generateApiKey("sk", "test");
    const child = spawnSync(process.execPath, [main, "keys", "scan", "-"], { input: `${"\n".repeat(2_000_000)} ${key}\n` });
    expect(child.status).toBe(1);
    expect(child.stdout.toString()).toBe(`-:2000001:2: ${displayPrefix}\n`);
  });
});

describe("borders", () => {
  it("are no hiding place: a key is found once, wherever they cut the text", () => {
    for (const kind of ["sk", "svc"] as const) {
      const { key } = generateApiKey(kind, "live");
      const text = Buffer.from(`ab\npv_pv_sk_live_${key}${key}\nzpv`);
      const at = text.indexOf(key);
      for (let cut = 1; cut < text.length; cut++) {
        for (const step of [cut, text.length]) {
          const found: unknown[] = [];
          const finder = openKeyFinder({ countLines: true }, (hit) => void found.push([hit.offset, hit.line, hit.column]));
          for (let from = 0; from < text.length;) {
            const piece = text.subarray(from, from === 0 ? cut : from + step);
            finder.space().set(piece);
            finder.filled(piece.length);
            from += piece.length;
          }
          expect(found).toEqual([
            [at, 2, at - 2],
            [at + key.length, 2, at - 2 + key.length],
          ]);
        }
      }
    }
  });

  it("of the pieces of a file are none either", async () => {
    const { key } = generateApiKey("svc", "live");
    const expected: string[] = [];
    for (const border of [1024 * 1024, 1024 * 1024 + 60, 2 * 1024 * 1024]) {
      for (const before of [1, 30, 59, 60, 61]) {
        const path = write(`${border}-${before}`, `${"\n".repeat(border - before)}${key}\n`);
        expected.push(`${path}:${border - before + 1}:1`);
      }
    }
    const { stdout } = await scan(directory);
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.slice(0, line.lastIndexOf(": ")))
        .toSorted(),
    ).toEqual(expected.toSorted());
  });
});

describe("what is read", () => {
  it("is every file of a tree, and no link, pipe or socket", async () => {
    const { key } = generateApiKey("sk", "live");
    const outside = join(base, `outside-${number}`);
    mkdirSync(outside);
    writeFileSync(join(outside, "key"), key);
    symlinkSync(outside, join(directory, "folder-link"));
    symlinkSync(join(outside, "key"), join(directory, "file-link"));
    symlinkSync(directory, join(directory, "loop"));
    spawnSync("sh", ["-c", 'mkfifo "$0"', join(directory, "fifo")]);
    const socket = createServer().listen(join(directory, "socket"));
    await new Promise((resolve) => socket.once("listening", resolve));
    const inside = await scan("--json", directory);
    const named = await scan(join(directory, "file-link"));
    await new Promise((resolve) => socket.close(resolve));
    expect(inside.code).toBe(0);
    expect(JSON.parse(inside.stdout)).toMatchObject({ files: 0, skipped: 5, unreadable: 0 });
    expect(named.code).toBe(1);
  });

  it("is said when it is not everything, and the rest is read all the same", async () => {
    const { key, displayPrefix } = generateApiKey("sk", "live");
    const path = write("key", key);
    const { code, stdout, stderr } = await scan(join(directory, "absent"), path, "/proc/self/mem");
    expect(code).toBe(2);
    expect(stdout).toBe(`${path}:1:1: ${displayPrefix}\n`);
    expect(stderr).toContain("absent: could not be read: ENOENT");
    expect(stderr).toContain("/proc/self/mem: could not be read: EIO");
  });

  it("is ten thousand files in their folders", async () => {
    const keys: string[] = [];
    for (let folder = 0; folder < 100; folder++) {
      mkdirSync(join(directory, String(folder)));
      for (let file = 0; file < 100; file++) {
        const secret = folder === file ? generateApiKey("sk", "live") : undefined;
        if (secret) keys.push(secret.displayPrefix);
        write(`${folder}/${file}`, `settings\nkey=${secret?.key ?? "pv_sk_live_"}\n`);
      }
    }
    const lines = (await scan("--json", directory)).stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { prefix: string });
    expect(lines.pop()).toMatchObject({ files: 10_000, keys: 100, unreadable: 0 });
    expect(lines.map(({ prefix }) => prefix).toSorted()).toEqual(keys.toSorted());
  });

  it("is 200 MB in the memory of a small file", async () => {
    const { key, displayPrefix } = generateApiKey("sk", "live");
    const fd = openSync(join(directory, "big"), "w");
    const piece = Buffer.from(`${"x".repeat(99)}\n`.repeat(10_000));
    for (let written = 0; written < 200; written++) writeSync(fd, piece);
    writeSync(fd, `last ${key}`);
    closeSync(fd);
    const small = write("small", "");
    const peaks = [small, join(directory, "big")].map((path) => {
      const script = `await import(${JSON.stringify(main)}); console.error(process.resourceUsage().maxRSS);`;
      const child = spawnSync(process.execPath, ["--input-type=module", "-e", script, "keys", "scan", path]);
      const lines = child.stderr.toString().trim().split("\n");
      return { out: child.stdout.toString(), kilobytes: Number(lines.at(-1)) };
    });
    expect(peaks[1]?.out).toBe(`${join(directory, "big")}:2000001:6: ${displayPrefix}\n`);
    expect(peaks[1]!.kilobytes - peaks[0]!.kilobytes).toBeLessThan(40_000);
  });

  it("cannot forge a finding by its name", async () => {
    write("a\nb:1:1: pv_sk_live_\u001b[2J", generateApiKey("sk", "live").key);
    const { stdout } = await scan(directory);
    expect(stdout.trim().split("\n")).toHaveLength(1);
    expect(stdout).not.toContain("\u001b");
  });
});
