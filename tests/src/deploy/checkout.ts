/** A copy of this checkout as a new server would have it: no data, no secrets, no settings. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { must } from "./engine.ts";

const root = resolve(import.meta.dirname, "../../..");

/** Tracked files and new ones that are not ignored, in their present state; the installed packages are shared. */
export async function copyCheckout(): Promise<string> {
  const copy = mkdtempSync(join(tmpdir(), "nexus-deploy-test-"));
  const listed = await must("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: root });
  for (const file of listed.split("\0").filter((path) => path !== "" && existsSync(join(root, path)))) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(root, file), join(copy, file));
  }
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  return copy;
}

export function readEnvFile(copy: string): Map<string, string> {
  const lines = readFileSync(join(copy, ".env.pf"), "utf8").split("\n");
  return new Map(
    lines
      .flatMap((line) => [/^([A-Z_]+)=(.*)$/.exec(line)?.slice(1) as [string, string] | undefined])
      .filter((pair) => pair !== undefined),
  );
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once("error", () => done(false));
    server.listen(port, "0.0.0.0", () => server.close(() => done(true)));
  });
}
