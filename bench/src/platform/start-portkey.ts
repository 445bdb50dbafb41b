/** Portkey's gateway from the npm registry, in a folder of its own: nothing of it is a dependency of this project. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "@nexus/testing";
import { type Child, spawnNode, untilReady } from "./start-child.ts";

export const portkeyVersion = "1.15.2";

/**
 * As its own lockfile has them (github.com/Portkey-AI/gateway, package-lock.json at 1.15.2): with newer ones that its
 * package.json allows, its streams break off.
 */
const overrides = { hono: "4.9.7", "@hono/node-server": "1.13.5", "@hono/node-ws": "1.2.0" };

/** @returns how it is called: its key goes on to the upstream as it is */
export async function startPortkey(upstreamUrl: string): Promise<Child & { url: string; headers: Record<string, string> }> {
  const port = await freePort();
  const program = join(await installPortkey(), "node_modules/@portkey-ai/gateway/build/start-server.js");
  const child = spawnNode([program, "--headless", `--port=${port}`], { NODE_ENV: "production" });
  const url = `http://127.0.0.1:${port}`;
  await untilReady(child, url, "Portkey");
  const headers = {
    authorization: "Bearer some-key-of-a-provider",
    "content-type": "application/json",
    "x-portkey-provider": "openai",
    "x-portkey-custom-host": `${upstreamUrl}/v1`,
  };
  return { ...child, url, headers };
}

/** Once for all runs; takes some ten seconds and the network. */
async function installPortkey(): Promise<string> {
  const directory = join(tmpdir(), `nexus-bench-portkey-${portkeyVersion}`);
  const complete = join(directory, "complete");
  if (existsSync(complete)) return directory;
  await mkdir(directory, { recursive: true });
  const dependencies = { "@portkey-ai/gateway": portkeyVersion };
  await writeFile(join(directory, "package.json"), JSON.stringify({ private: true, dependencies, overrides }));
  await promisify(execFile)("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: directory });
  await writeFile(complete, "");
  return directory;
}
