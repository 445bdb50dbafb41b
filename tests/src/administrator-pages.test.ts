/** The pages of docs/ for administrators: their shell samples are run as they stand, one page after the other, on a real start. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { problemCatalogue } from "@nexus/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PlatformProcess, startPlatform, stopPlatform } from "./platform.ts";

const run = promisify(execFile);
const docs = fileURLToPath(new URL("../../docs/", import.meta.url));
const read = (page: string): string => readFileSync(join(docs, page), "utf8");

/** What is between the fences of a language, in the order of the page. */
function blocksOf(page: string, language: string): string[] {
  return [...read(page).matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"))].map(([, text = ""]) => text);
}

/** The names by which the headings of a page are linked. */
function headingsOf(path: string): string[] {
  return [...readFileSync(path, "utf8").matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

describe("the samples", () => {
  const directory = mkdtempSync(join(tmpdir(), "nexus-pages-"));
  let platform: PlatformProcess;

  beforeAll(async () => {
    const [signIn = ""] = blocksOf("getting-started.md", "sh").filter((text) => text.includes("sign-in/email"));
    const { email, password } = JSON.parse(/-d '(.*?)'/s.exec(signIn)?.[1] ?? "") as { email: string; password: string };
    const [settings = ""] = blocksOf("gateway.md", "yaml").filter((text) => text.includes("OPENAI_API_KEY"));
    writeFileSync(join(directory, "gateway.yaml"), settings);
    const env = {
      NEXUS_INIT_EMAIL: email,
      NEXUS_INIT_PASSWORD: password,
      NEXUS_FIND_LOCAL_MODELS: "false",
      NEXUS_GATEWAY_CONFIG: join(directory, "gateway.yaml"),
      OPENAI_API_KEY: "no-key-of-openai",
    };
    platform = await startPlatform({ env });
    await runShell([signIn]);
  });
  afterAll(async () => {
    await stopPlatform(platform);
    rmSync(directory, { recursive: true });
  });

  /** Each call must be answered with a status of success. */
  async function runShell(blocks: readonly string[]): Promise<string> {
    const script = ["set -eu", 'curl() { command curl --fail-with-body "$@"; }', ...blocks]
      .join("\n")
      .replaceAll("localhost:4000", `localhost:${platform.ports.api}`)
      .replaceAll("localhost:3002", `localhost:${platform.ports.ai}`)
      .replaceAll("localhost:3041", `localhost:${platform.ports.keys}`);
    const { stdout } = await run("sh", ["-c", script], { cwd: directory, timeout: 30_000 });
    return stdout;
  }

  // In this order: what a page needs stands on one before it, and the last freezes everything.
  it.each([
    "requests.md",
    "secrets.md",
    "gateway-configuration.md",
    "budgets.md",
    "prices.md",
    "content-logging.md",
    "kill-switch.md",
  ])("of %s work as they stand", async (page) => {
    const names = [
      ...blocksOf("accounts.md", "sh").filter((text) => text.includes("AI_TOKEN=")),
      ...blocksOf("api-keys.md", "sh").filter((text) => text.startsWith("KEY=")),
    ];
    expect(names).toHaveLength(2);
    // An id that only the reader knows.
    const samples = blocksOf(page, "sh").filter((text) => !/[a-z]{3}_…/.test(text));
    expect(samples).not.toHaveLength(0);
    for (const sample of samples) expect(await runShell([...names, sample])).not.toBe("");
  });
});

describe("the pages", () => {
  const pages = readdirSync(docs, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".md"));
  const given: Readonly<Record<string, RegExp>> = {
    TOKEN: /accounts\.md#tokens-for-the-other-services/,
    AI_TOKEN: /accounts\.md#tokens-for-the-other-services/,
    ORG: /accounts\.md#tokens-for-the-other-services/,
    KEY: /api-keys\.md|getting-started\.md/,
  };

  it.each(pages)("%s says where the names in its samples come from", (page) => {
    const text = read(page);
    for (const block of blocksOf(page, "sh")) {
      for (const [, name = ""] of block.matchAll(/\$\{?([A-Z][A-Z_]*)/g)) {
        const isSetHere = new RegExp(`(?:^|\\s)${name}=`).test(text);
        expect(isSetHere || given[name]?.test(text), `where $${name} comes from`).toBe(true);
      }
    }
  });

  it.each(pages)("%s points to what is there", (page) => {
    const lost = [...read(page).matchAll(/\]\((?!\w+:)([^)\s]+)\)/g)].filter(([, link = ""]) => {
      const [file = "", heading] = link.split("#");
      const path = file === "" ? join(docs, page) : join(docs, dirname(page), file);
      return !existsSync(path) || (heading !== undefined && !headingsOf(path).includes(heading));
    });
    expect(lost.map(([, link]) => link)).toEqual([]);
  });

  it("of the gateway lists every error that its model routes can answer", () => {
    // What other doors answer: sign-in and sign-up, keys, and the routes that change entries.
    const others = [
      "sign_up_closed",
      "origin_refused",
      "idempotency_in_progress",
      "idempotency_mismatch",
      "secret_not_replayable",
    ];
    const ofEntries = ["configuration_refused", "conflict", "precondition_failed", "precondition_required", "not_acceptable"];
    const expected = Object.entries(problemCatalogue).flatMap(([code, { status }]) =>
      others.includes(code) || ofEntries.includes(code) ? [] : [`${status} ${code}`],
    );
    const table = /^## Errors$(.*?)^## /ms.exec(read("gateway.md"))?.[1] ?? "";
    const told = [...table.matchAll(/^\| (\d{3}) \| ([^|]+) \|/gm)].flatMap(([, status, codes = ""]) =>
      [...codes.matchAll(/`(\w+)`/g)].map(([, code]) => `${status} ${code}`),
    );
    expect(told.toSorted()).toEqual(expected.toSorted());
  });
});
