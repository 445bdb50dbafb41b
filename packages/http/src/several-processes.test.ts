import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { waitFor } from "@nexus/testing";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../../", import.meta.url));
let directory: string;
const children: ChildProcess[] = [];
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "nexus-several-"));
});
afterEach(() => {
  // A group of its own: whatever is left of it goes.
  for (const { pid } of children.splice(0)) {
    try {
      process.kill(-pid!, "SIGKILL");
    } catch {
      // Nothing is left.
    }
  }
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Program {
  child: ChildProcess;
  url: string;
  output: () => string;
  exit: Promise<number | string>;
  workers: () => number[];
}

/**
 * Three processes that answer with their number, say on standard output what happens to them, and count what they answered.
 * @param change code in the middle of `start`, and in the middle of `close`
 */
async function program(change: { start?: string; close?: string; port?: number } = {}): Promise<Program> {
  const port = change.port ?? (await freePort());
  const file = join(directory, `${children.length}-${port}.mts`);
  const from = (path: string): string => JSON.stringify(join(root, "packages", path, "src/index.ts"));
  writeFileSync(
    file,
    `import { writeSync } from "node:fs";
    import { createServer } from "node:http";
    import { runMain } from ${from("http")};
    import { refuseForeignPort, sharedPort } from ${JSON.stringify(join(root, "packages/http/src/several-processes.ts"))};
    import { createMetrics } from ${from("telemetry")};
    const say = (text) => writeSync(1, text + " " + process.pid + "\\n");
    await runMain({ process, serviceName: "example", schema: {}, processes: () => 3, closeDeadlineMs: 1500, start: async () => {
      const metrics = createMetrics({ service: "example" });
      const answered = metrics.counter({ name: "answered_total", help: "test" });
      ${change.start ?? ""}
      const server = createServer(async (request, response) => {
        if (request.url === "/metrics") return response.end(await metrics.scrape());
        answered.inc();
        response.setHeader("connection", "close").end(String(process.pid));
      });
      await refuseForeignPort("127.0.0.1", ${port});
      await new Promise((resolve, reject) => server.once("error", reject).listen({ port: ${port}, host: "127.0.0.1", ...sharedPort() }, resolve));
      say("up");
      return { reload: async () => say("reloaded"), close: async () => { ${change.close ?? ""} server.close(); say("closed"); } };
    } });`,
  );
  const child = spawn(process.execPath, [file], { cwd: root, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const exit = new Promise<number | string>((resolve) => child.once("exit", (status, signal) => resolve(status ?? signal!)));
  const workers = () => readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ").map(Number);
  return { child, url: `http://127.0.0.1:${port}`, output: () => output, exit, workers };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const told = ({ output }: Program, word: string): number => output().match(new RegExp(`^${word} \\d+$`, "gm"))?.length ?? 0;

async function up(started: Program, count = 3): Promise<Program> {
  await waitFor(() => told(started, "up") === count, { timeoutMs: 20_000, what: `${count} processes` });
  return started;
}

const ask = async ({ url }: Program): Promise<number> => Number(await (await fetch(url)).text());

it("three processes answer on one port, and a scrape of any tells what all have counted", async () => {
  const started = await up(await program());
  const answers = new Set<number>();
  for (let call = 0; call < 100; call++) answers.add(await ask(started));
  expect(answers).toEqual(new Set(started.workers()));
  for (let scrape = 0; scrape < 6; scrape++) {
    const text = await (await fetch(`${started.url}/metrics`, { headers: { connection: "close" } })).text();
    expect(text).toMatch(/^answered_total\{service="example"\} 100$/m);
  }
});

it.each(["SIGTERM", "SIGINT"] as const)("%s closes each of them, and the exit code is 0", async (signal) => {
  const started = await up(await program());
  started.child.kill(signal);
  expect(await started.exit).toBe(0);
  expect(told(started, "closed")).toBe(3);
});

it("a signal to all of them, as a terminal gives it, is no second one", async () => {
  const started = await up(await program({ close: "await new Promise((resolve) => setTimeout(resolve, 300));" }));
  process.kill(-started.child.pid!, "SIGINT");
  expect(await started.exit).toBe(0);
  expect(told(started, "closed")).toBe(3);
});

it("whoever asks twice does not wait, and nothing is left behind", async () => {
  const started = await up(await program({ close: "say('closing'); await new Promise(() => {});" }));
  const workers = started.workers();
  started.child.kill("SIGTERM");
  await waitFor(() => told(started, "closing") === 3, { what: "closing" });
  started.child.kill("SIGTERM");
  expect(await started.exit).toBe(1);
  await waitFor(() => workers.every((pid) => !isAlive(pid)), { what: "their end" });
});

it("one that does not end is given up, and the exit code says so", async () => {
  const started = await up(await program({ close: "await new Promise(() => {});" }));
  started.child.kill("SIGTERM");
  expect(await started.exit).toBe(1);
  expect(started.output()).toContain('"event":"close_timeout"');
});

it("one that ends is replaced while the others answer", async () => {
  const started = await up(await program());
  const [victim] = started.workers();
  process.kill(victim!, "SIGKILL");
  await waitFor(() => started.output().includes('"event":"process_ended"'), { what: "its end" });
  for (let call = 0; call < 6; call++) expect(await ask(started)).not.toBe(victim);
  await up(started, 4);
  expect(started.workers()).toHaveLength(3);
  started.child.kill("SIGTERM");
  expect(await started.exit).toBe(0);
});

it("SIGHUP is heard by each", async () => {
  const started = await up(await program());
  started.child.kill("SIGHUP");
  await waitFor(() => told(started, "reloaded") === 3, { what: "three reloads" });
});

it("without the first the others end in order", async () => {
  const started = await up(await program());
  const workers = started.workers();
  started.child.kill("SIGKILL");
  expect(await started.exit).toBe("SIGKILL");
  await waitFor(() => workers.every((pid) => !isAlive(pid)), { timeoutMs: 10_000, what: "their end" });
  expect(told(started, "closed")).toBe(3);
});

it("what keeps them from starting is said once, with exit code 1", async () => {
  const started = await program({ start: 'throw new Error("no such luck");' });
  expect(await started.exit).toBe(1);
  expect(started.output().match(/could not start: no such luck/g)).toHaveLength(1);
});

it("does not share its port with a service that was there before", async () => {
  const before = await up(await program());
  const started = await program({ port: Number(new URL(before.url).port) });
  expect(await started.exit).toBe(1);
  expect(started.output()).toContain("is taken by another process");
  expect(before.workers()).toContain(await ask(before));
});

function isAlive(pid: number): boolean {
  try {
    // An orphan that nobody has buried yet is dead all the same.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
