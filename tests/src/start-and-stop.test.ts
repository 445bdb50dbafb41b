/** What `npm start` promises to an operator: it comes up, it goes down whole, and it survives being killed. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { waitFor } from "@nexus/testing";
import { afterEach, describe, expect, it } from "vitest";
import { freePorts, isFree, launchPlatform, type PlatformProcess, type Ports, startPlatform } from "./platform.ts";

const started: PlatformProcess[] = [];
const folders: string[] = [];

afterEach(async () => {
  for (const platform of started.splice(0)) {
    platform.signal("SIGTERM");
    await platform.exited;
    folders.push(platform.dataDirectory);
  }
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

async function start(options: Parameters<typeof startPlatform>[0] = {}): Promise<PlatformProcess> {
  const platform = await startPlatform(options);
  started.push(platform);
  return platform;
}

describe("npm start", () => {
  it("prints the three URLs, the one-time link and a curl to try", async () => {
    const platform = await start();
    for (const url of Object.values(platform.urls)) expect(platform.output()).toContain(url);
    expect(platform.setupUrl()).toMatch(/\/setup\?code=[\w-]{43}$/);
    expect(platform.output()).toMatch(/curl \S+/);
  });

  it.each(["SIGTERM", "SIGINT"] as const)("%s to npm stops everything and frees the ports", async (signal) => {
    const platform = await startPlatform({ throughNpm: true });
    folders.push(platform.dataDirectory);
    platform.signal(signal);
    await platform.exited;
    await waitFor(async () => (await takenPorts(platform.ports)).length === 0, { timeoutMs: 15_000 });
  });

  it("starts again after kill -9 with what was committed, and the link is no longer offered", async () => {
    const headless = { NEXUS_INIT_EMAIL: "owner@example.test", NEXUS_INIT_PASSWORD: "correct horse battery staple" };
    const first = await startPlatform({ env: headless });
    first.signal("SIGKILL");
    await first.exited;
    const second = await start({ dataDirectory: first.dataDirectory, ports: first.ports });
    const answer = await fetch(`${second.urls.api}/api/auth/sign-in/email`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ email: headless.NEXUS_INIT_EMAIL, password: headless.NEXUS_INIT_PASSWORD }),
    });
    expect(answer.status).toBe(200);
    expect(second.setupUrl()).toBeUndefined();
    expect(second.output()).not.toContain(headless.NEXUS_INIT_PASSWORD);
  });

  it("two copies run side by side on other ports and another folder", async () => {
    const first = await start();
    const second = await start();
    expect((await fetch(`${first.urls.api}/health`)).status).toBe(200);
    expect((await fetch(`${second.urls.api}/health`)).status).toBe(200);
  });

  it("a second copy on the same folder is refused and the first is not disturbed", async () => {
    const first = await start();
    const second = await launchPlatform({ dataDirectory: first.dataDirectory });
    expect(await second.exited).toBe(1);
    const lines = second.output().trim().split("\n");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(`in use by process ${first.pid}`);
    expect((await fetch(`${first.urls.api}/health`)).status).toBe(200);
  });

  it("a database that another process holds is one clear line, though nobody seems to hold the folder", async () => {
    const first = await start();
    rmSync(join(first.dataDirectory, "owner.json"));
    const second = await launchPlatform({ dataDirectory: first.dataDirectory });
    expect(await second.exited).toBe(1);
    const lines = second.output().trim().split("\n");
    expect(lines.filter((line) => !line.includes("database files are in"))).toEqual([
      expect.stringMatching(new RegExp(`in use by process ${first.pid}; stop that one first, .*NEXUS_DATA_DIR$`)),
    ]);
    expect((await fetch(`${first.urls.api}/health`)).status).toBe(200);
  });

  it("a taken port is one clear line and exit 1, before anything is started", async () => {
    const ports = await freePorts();
    const holder = createServer().listen(ports.ai, "127.0.0.1");
    const platform = await launchPlatform({ ports });
    folders.push(platform.dataDirectory);
    expect(await platform.exited).toBe(1);
    holder.close();
    const lines = platform.output().trim().split("\n");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(String(ports.ai));
    expect(await takenPorts(ports)).toEqual([]);
  });

  it("every bad value is reported at once, by name, and nothing is started", async () => {
    const platform = await launchPlatform({
      env: {
        NEXUS_PUABO_API_PORT: "http",
        NEXUS_LOG_LEVEL: "loud",
        NEXUS_SIGN_UP: "maybe",
        NEXUS_PUBLIC_URL: "ftp://example.test",
        DATABASE_URL: "postgres://u:p@127.0.0.1/x",
        DB_HOST: "127.0.0.1",
      },
    });
    folders.push(platform.dataDirectory);
    expect(await platform.exited).toBe(1);
    for (const name of ["NEXUS_PUABO_API_PORT", "NEXUS_LOG_LEVEL", "NEXUS_SIGN_UP", "NEXUS_PUBLIC_URL"])
      expect(platform.output()).toContain(name);
  });

  it("works from a folder that only its owner can enter", async () => {
    const folder = mkdtempSync(join(tmpdir(), "nexus-private-"));
    folders.push(folder);
    const platform = await start({ dataDirectory: join(folder, "deep", "data") });
    expect((await fetch(`${platform.urls.api}/health`)).status).toBe(200);
    // As root, PostgreSQL's user cannot reach it: the data lies elsewhere, and that is said.
    const elsewhere = /database files are in (\S+?):/.exec(platform.output())?.[1];
    if (elsewhere !== undefined) folders.push(elsewhere);
  });

  it("begins anew when its data folder was deleted, wherever the database lay", async () => {
    const folder = mkdtempSync(join(tmpdir(), "nexus-private-"));
    const data = join(folder, "data");
    const settings = {
      dataDirectory: data,
      env: { NEXUS_INIT_EMAIL: "a@example.test", NEXUS_INIT_PASSWORD: "correct horse battery staple" },
    };
    const first = await startPlatform(settings);
    first.signal("SIGTERM");
    await first.exited;
    rmSync(data, { recursive: true });
    const second = await start({ dataDirectory: data });
    expect(second.setupUrl()).toBeDefined();
    for (const platform of [first, second]) folders.push(/database files are in (\S+?):/.exec(platform.output())?.[1] ?? folder);
  });
});

/** Those of the six ports, published and private, that something still listens on. */
async function takenPorts(ports: Ports): Promise<number[]> {
  const taken: number[] = [];
  for (const port of Object.values(ports).flatMap((published) => [published, published + 10_000])) {
    if (!(await isFree(port))) taken.push(port);
  }
  return taken;
}
