/** The samples of docs/verify-from-other-languages.md, taken from the page and run against a running platform. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { generateApiKey } from "@nexus/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PlatformProcess, startPlatform, stopPlatform } from "./platform.ts";
import { bearer, headless, makeKey, postJson, signIn, tokenFor } from "./session.ts";

const run = promisify(execFile);
const page = readFileSync(new URL("../../docs/verify-from-other-languages.md", import.meta.url), "utf8");
const folder = mkdtempSync(join(tmpdir(), "nexus-samples-"));
const languages = [
  { name: "TypeScript", fence: "ts", file: "verify.ts", program: process.execPath, args: [] },
  { name: "Python", fence: "python", file: "verify.py", program: onPath("python3"), args: [] },
  { name: "Go", fence: "go", file: "verify.go", program: onPath("go"), args: ["run"] },
];
let platform: PlatformProcess;
let environment: NodeJS.ProcessEnv;
let good: string;
let revoked: string;

beforeAll(async () => {
  platform = await startPlatform({ env: headless });
  const cookie = await signIn(platform);
  const token = await tokenFor(platform, cookie, "pv-keys");
  const service = await makeKey(platform, cookie, { kind: "svc", scopes: ["keys:verify"] });
  good = (await makeKey(platform, cookie)).secret;
  const ended = await makeKey(platform, cookie);
  revoked = ended.secret;
  const answer = await postJson(`${platform.urls.keys}/v1/keys/${ended.id}/revoke`, {}, bearer(token));
  if (!answer.ok) throw new Error(`revoking answered ${answer.status}`);
  // Go keeps what it has compiled in the home folder.
  environment = {
    ...process.env,
    HOME: folder,
    GOFLAGS: "-mod=mod",
    PV_KEYS_URL: platform.urls.keys,
    PV_SERVICE_KEY: service.secret,
  };
  for (const { fence, file } of languages) writeFileSync(join(folder, file), sampleIn(fence));
});
afterAll(async () => {
  await stopPlatform(platform);
  rmSync(folder, { recursive: true, force: true });
});

// A language that is not installed cannot be run; the TypeScript sample always is.
describe.each(languages.filter(({ program }) => program !== undefined))("the sample in $name", ({ file, program = "", args }) => {
  const ask = async (key: string, scope = "ai:chat", more: NodeJS.ProcessEnv = {}): Promise<unknown> => {
    const options = { env: { ...environment, ...more }, cwd: folder };
    const { stdout } = await run(program, [...args, join(folder, file), key, scope], options);
    return JSON.parse(stdout) as unknown;
  };

  it("tells good keys from others", async () => {
    expect(await ask(good)).toMatchObject({ valid: true, scopes: ["ai:*", "usage:read"] });
    expect(await ask(good, "keys:verify")).toEqual({ valid: false, code: "insufficient_scope" });
    expect(await ask(revoked)).toEqual({ valid: false, code: "revoked" });
    expect(await ask(generateApiKey("sk", "live").key)).toEqual({ valid: false, code: "not_found" });
  });

  it("knows a mistyped key without asking anybody, and fails where nobody can be asked", async () => {
    const nobody = { PV_KEYS_URL: "http://127.0.0.1:9" };
    const mistyped = good.slice(0, 20) + (good[20] === "x" ? "y" : "x") + good.slice(21);
    expect(await ask(mistyped, "ai:chat", nobody)).toEqual({ valid: false, code: "not_found" });
    await expect(ask(good, "ai:chat", nobody)).rejects.toThrow();
  });
});

function sampleIn(fence: string): string {
  const code = new RegExp(`^\`\`\`${fence}\\n([\\s\\S]*?)^\`\`\`$`, "m").exec(page)?.[1];
  if (code === undefined) throw new Error(`the page has no sample in ${fence}`);
  return code;
}

function onPath(program: string): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}
