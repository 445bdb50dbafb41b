/**
 * The pages of docs/clients: every sample is run as it stands, against a running platform with an independent stand-in for the
 * providers, and must print what the page says below it.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { LLMock } from "@copilotkit/aimock";
import { waitFor } from "@nexus/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PlatformProcess, startPlatform, stopPlatform } from "./platform.ts";
import { bearer, headless, makeKey, signIn } from "./session.ts";

const run = promisify(execFile);
const docs = fileURLToPath(new URL("../../docs/", import.meta.url));
/** The clients are installed for this folder. */
const cwd = fileURLToPath(new URL("../", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "nexus-pages-"));
const python = onPath("python3");
let platform: PlatformProcess;
let provider: LLMock;
let environment: NodeJS.ProcessEnv;
let secret: string;
let hasOpenaiForPython = false;

interface Sample {
  title: string;
  language: string;
  code: string;
  prints: string | undefined;
}

const pages = readdirSync(join(docs, "clients")).map((file) => ({ file, samples: samplesOf(file) }));

beforeAll(async () => {
  provider = new LLMock({ port: 0, latency: 5, chunkSize: 4 });
  const toolCalls = ["Oslo", "Rome"].map((city, n) => ({
    id: `call_${n}`,
    name: "weather",
    arguments: JSON.stringify({ city }),
  }));
  provider.on({ userMessage: "weather", hasToolResult: false }, { toolCalls });
  provider.on({ userMessage: "weather", hasToolResult: true }, { content: "Cold in Oslo, warm in Rome." });
  const ada = { id: "call_ada", name: "response", arguments: JSON.stringify({ name: "Ada", age: 36 }) };
  const forced = ({ tools = [] }: { tools?: { function: { name: string } }[] }) =>
    tools.some((tool) => tool.function.name === "response");
  provider.on({ userMessage: "as an object", predicate: forced }, { toolCalls: [ada] });
  provider.onMessage("as an object", { content: JSON.stringify({ name: "Ada", age: 36 }) });
  provider.onMessage("in the picture", { content: "A red dot." });
  provider.onMessage("without end", { content: "word ".repeat(2000) });
  const usage = { prompt_tokens: 9, completion_tokens: 5, total_tokens: 14, input_tokens: 9, output_tokens: 5 };
  provider.onMessage("hello", { content: "Hello from the provider.", usage });
  provider.onEmbedding(/./, { embedding: [0.5, -0.5, 0.25] });
  await provider.start();
  const settings = join(directory, "gateway.yaml");
  const price = `price: { unit: usd_per_million_tokens, input: "1", output: "10", source: test, effective: 2026-01-01 }`;
  const limits = `kind: chat, context_tokens: 100000, max_output_tokens: 10000, ${price}`;
  writeFileSync(
    settings,
    `
providers:
  mock:
    base_url: "${provider.url}/v1"
    allow_private_network: true
    wire_formats: [openai-chat, openai-embeddings, openai-responses, anthropic-messages]
models:
  - { id: gpt-5-mini, provider: mock, upstream_model: gpt-4o, ${limits} }
  - { id: claude-sonnet-4-5, provider: mock, ${limits} }
  - { id: text-embedding-3-small, provider: mock, kind: embeddings, context_tokens: 8192, price: free }
`,
  );
  const env = {
    ...headless,
    NEXUS_GATEWAY_CONFIG: settings,
    NEXUS_FIND_LOCAL_MODELS: "false",
    NEXUS_DEFAULT_BUDGET_NANOS: "9000000000",
  };
  platform = await startPlatform({ env });
  ({ secret } = await makeKey(platform, await signIn(platform)));
  environment = { ...process.env, NEXUS_URL: platform.urls.ai, NEXUS_KEY: secret, FORCE_COLOR: "0" };
  if (python !== undefined)
    hasOpenaiForPython = await run(python, ["-c", "import openai"]).then(
      () => true,
      () => false,
    );
});
afterAll(async () => {
  await stopPlatform(platform);
  await provider.stop();
  rmSync(directory, { recursive: true });
});

describe.each(pages)("$file", ({ file, samples }) => {
  it("is linked, and shows each kind of call", () => {
    for (const page of ["README.md", "gateway.md"]) expect(readFileSync(join(docs, page), "utf8")).toContain(`(clients/${file})`);
    const titles = samples.map(({ title }) => title).join("; ");
    for (const kind of [/answer/i, /stream/i, /tools/i, /object/i, /image/i, /errors/i, /end before the end/i])
      expect(titles).toMatch(kind);
  });

  it.each(samples)("$title", async ({ language, code, prints, title }) => {
    expect(prints, `what ${title} prints`).toBeDefined();
    if (language === "python" && !hasOpenaiForPython) {
      // Without the client it can only be read.
      if (python !== undefined) await run(python, ["-c", "import ast, sys; ast.parse(sys.argv[1])", code]);
      return;
    }
    expect((await runSample(language, code)).trim()).toBe(prints?.trim());
    if (title === "An end before the end") await waitFor(async () => (await lastOutcome()) === "aborted");
  });
});

async function runSample(language: string, code: string): Promise<string> {
  const programs: Record<string, [string, string[]]> = {
    ts: [process.execPath, ["--input-type=module-typescript", "--no-warnings", "--eval", code]],
    sh: ["sh", ["-c", code]],
    python: [python ?? "", ["-c", code]],
  };
  const [program, args] = programs[language]!;
  const { stdout } = await run(program, args, { env: environment, cwd, timeout: 30_000 });
  return stdout;
}

async function lastOutcome(): Promise<string | undefined> {
  const answer = await fetch(`${platform.urls.ai}/v1/usage?limit=1`, { headers: bearer(secret) });
  return ((await answer.json()) as { data: { outcome: string }[] }).data[0]?.outcome;
}

/** The samples of a page under their headings, each with the text block that follows it. The shell's set-up is none. */
function samplesOf(file: string): Sample[] {
  const page = readFileSync(join(docs, "clients", file), "utf8");
  const samples: Sample[] = [];
  for (const section of page.split(/^## /m).slice(1)) {
    const title = section.slice(0, section.indexOf("\n"));
    const blocks = [...section.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language = "", text = ""]) => ({
      language,
      text,
    }));
    for (const [index, { language, text }] of blocks.entries()) {
      if (language === "text") continue;
      const next = blocks[index + 1];
      samples.push({ title, language, code: text, prints: next?.language === "text" ? next.text : undefined });
    }
  }
  return samples;
}

function onPath(program: string): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}
