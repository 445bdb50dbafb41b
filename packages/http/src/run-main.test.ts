import { type ChildProcess, spawn } from "node:child_process";
import { createServer, type Server } from "node:net";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const children: ChildProcess[] = [];
const servers: Server[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const server of servers.splice(0)) server.close();
});

interface Program {
  child: ChildProcess;
  output: () => string;
  errors: () => string;
  exit: Promise<number | null>;
}

/** A real process whose `start` is the given code; `say` writes to standard output at once. */
function program(start: string, env: Record<string, string> = {}): Program {
  const code = `
    import { writeSync } from "node:fs";
    import { integer, secret } from "@nexus/config";
    import { runMain } from "./packages/http/src/run-main.ts";
    const say = (text) => writeSync(1, text + "\\n");
    const schema = { PORT: integer({ doc: "the port", default: 1, min: 0, max: 65535 }), PASS: secret({ doc: "a secret", minLength: 8 }) };
    await runMain({ process, serviceName: "example", schema, closeDeadlineMs: 1000, start: async (config, tools) => { ${start} } });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
    cwd: root,
    env: { PASS: "a-good-secret-1", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const exit = new Promise<number | null>((resolve) => child.once("close", (status) => resolve(status)));
  return { child, output: () => output, errors: () => errors, exit };
}

const running = 'const alive = setInterval(() => {}, 1000); say("up");';
const closing = 'return { close: async () => { clearInterval(alive); say("closed"); } };';

async function up(started: Program, word = "up"): Promise<void> {
  await expect.poll(() => started.output() + started.errors(), { timeout: 10_000 }).toContain(word);
}

describe("a service's process", () => {
  it.each(["SIGTERM", "SIGINT"] as const)("closes on %s and exits 0", async (signal) => {
    const started = program(running + closing);
    await up(started);
    started.child.kill(signal);
    expect(await started.exit).toBe(0);
    expect(started.output()).toContain("closed");
    expect(started.output()).toContain('"event":"stopped"');
  });

  it("every fault of the configuration is printed at once, no secret is, and nothing starts", async () => {
    const started = program(running + closing, { PORT: "eighty", PASS: "short" });
    expect(await started.exit).toBe(1);
    expect(started.errors()).toMatch(/example: the configuration has 2 faults:\n {2}PORT .*\n {2}PASS .*\n/);
    expect(started.errors()).not.toContain("short");
    expect(started.output()).toBe("");
  });

  it("a taken port is one clear line and exit code 1", async () => {
    const holder = createServer();
    servers.push(holder);
    await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
    const { port } = holder.address() as AddressInfo;
    const started = program(
      `
      const { createServer } = await import("node:http");
      await new Promise((resolve, reject) => createServer().once("error", reject).listen(config.PORT, "127.0.0.1", resolve));`,
      {
        PORT: String(port),
      },
    );
    expect(await started.exit).toBe(1);
    expect(started.errors()).toBe(`example: port ${port} is taken by another process; stop it or choose another port\n`);
    expect(started.output()).toBe("");
  });

  it("a fault found while starting is printed like the others", async () => {
    const started = program(
      'const { ConfigError } = await import("@nexus/config"); throw new ConfigError(["PASS does not open the stored key"]);',
    );
    expect(await started.exit).toBe(1);
    expect(started.errors()).toBe("example: the configuration has 1 fault:\n  PASS does not open the stored key\n");
  });

  it("any other failure to start is logged with its cause, and exits 1 although something still runs", async () => {
    const started = program(
      `${running} throw new Error("no luck at postgres://u:hunter2@db/x", { cause: new Error("the reason") });`,
    );
    expect(await started.exit).toBe(1);
    expect(started.output()).toMatch(/"event":"start_failed".*no luck.*the reason/);
    expect(started.errors()).toBe("example: could not start: no luck at postgres://u:[redacted]@db/x\n");
    expect(started.output()).not.toContain("hunter2");
  });

  it("a signal while starting is obeyed as soon as it can be, and start can hear it", async () => {
    const started = program(
      `${running} await new Promise((go) => tools.signal.addEventListener("abort", go)); say("heard"); ${closing}`,
    );
    await up(started);
    started.child.kill("SIGTERM");
    expect(await started.exit).toBe(0);
    expect(started.output()).toMatch(/heard\n[\s\S]*closed\n/);
  });

  it("a second signal does not wait", async () => {
    const started = program(`${running} return { close: () => { say("closing"); return new Promise(() => {}); } };`);
    await up(started);
    started.child.kill("SIGINT");
    await up(started, "closing");
    started.child.kill("SIGINT");
    expect(await started.exit).toBe(1);
    expect(started.output()).not.toContain("close_timeout");
  });

  it("a close that hangs is given up", async () => {
    const started = program(`${running} return { close: () => new Promise(() => {}) };`);
    await up(started);
    started.child.kill("SIGTERM");
    expect(await started.exit).toBe(1);
    expect(started.output()).toContain('"event":"close_timeout"');
  });

  it("a close that fails is told and exits 1", async () => {
    const started = program(`${running} return { close: async () => { throw new Error("stuck"); } };`);
    await up(started);
    started.child.kill("SIGTERM");
    expect(await started.exit).toBe(1);
    expect(started.output()).toMatch(/"event":"close_failed".*stuck/);
  });

  it.each([
    ["an exception nobody caught", 'setTimeout(() => { throw new Error("boom"); }, 20);'],
    ["a rejection nobody handled", 'setTimeout(() => { Promise.reject(new Error("boom")); }, 20);'],
    ["something thrown that is no error", 'setTimeout(() => { throw "boom"; }, 20);'],
  ])("%s is logged, and the process closes and exits 1", async (_name, crash) => {
    const started = program(running + crash + closing);
    expect(await started.exit).toBe(1);
    expect(started.output()).toMatch(/"event":"crash"/);
    expect(started.output()).toContain("closed");
  });

  it("a log reader that went away does not keep it from stopping", async () => {
    const started = program(running + closing);
    await up(started);
    started.child.stdout!.destroy();
    started.child.kill("SIGTERM");
    expect(await started.exit).not.toBeNull();
  });
});
