/**
 * `npm run check`: every check, one line each, all faults shown.
 * `--only name,name` runs some of them.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { generated } from "./generated.ts";

interface Outcome {
  readonly code: number;
  readonly output: string;
}

interface Check {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** A tool that exits 0 although it saw nothing has not checked anything; this finds how many files it saw. */
  readonly seen?: RegExp;
}

const bin = (name: string): string => `node_modules/.bin/${name}`;

const checks: readonly Check[] = [
  { name: "types", command: [bin("tsc"), "-b"] },
  { name: "lint", command: [bin("oxlint"), "--type-aware"], seen: /on (\d+) files/ },
  { name: "format", command: [bin("oxfmt"), "--check"], seen: /on (\d+) files/ },
  { name: "dead-code", command: [bin("knip"), "--strict", "--no-config-hints"] },
  { name: "dead-test-code", command: [bin("knip"), "--no-config-hints"] },
  { name: "boundaries", command: ["node", "tools/check-boundaries.ts"], seen: /^(\d+) files/m },
  { name: "shell", command: ["node", "tools/check-shell.ts"], seen: /^(\d+) files/m },
  ...generated
    .filter(({ script }) => existsSync(script))
    .map(({ name, script }): Check => ({ name: `generated:${name}`, command: ["node", script, "--check"] })),
];

function run([command, ...args]: Check["command"]): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    const chunks: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.on("error", (error) => resolve({ code: 1, output: `${error.message}\n` }));
    child.on("close", (code) => resolve({ code: code ?? 1, output: Buffer.concat(chunks).toString("utf8") }));
  });
}

async function runCheck(check: Check): Promise<boolean> {
  const startMs = performance.now();
  const { code, output } = await run(check.command);
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  const blind = check.seen !== undefined && !(Number(check.seen.exec(output)?.[1]) > 0);
  const passed = code === 0 && !blind;
  console.log(`${passed ? "ok    " : "FAILED"}  ${check.name.padEnd(20)} ${seconds.padStart(6)} s`);
  if (!passed) console.log(output.trimEnd().replace(/^/gm, "        "));
  if (blind && code === 0) console.log("        saw no file at all");
  return passed;
}

const { values } = parseArgs({ options: { only: { type: "string" } } });
const only = values.only?.split(",");
const chosen = checks.filter(({ name }) => !only || only.includes(name));
let failed = 0;
// One after the other: each of them uses every core by itself.
for (const check of chosen) if (!(await runCheck(check))) failed++;
console.log(`${chosen.length - failed} checks passed, ${failed} failed`);
if (failed > 0 || chosen.length === 0) process.exitCode = 1;
