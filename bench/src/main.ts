/** `npm run bench -- ID [--json] [--rounds n] [--seconds n] [--size n]` and `npm run bench -- --list [--json]`. */
import { parseArgs } from "node:util";
import { type Benchmark, resultOf, type RunOptions } from "./benchmark.ts";
import { gatewayBudget } from "./benchmarks/gateway-budget.ts";
import { gatewayChat } from "./benchmarks/gateway-chat.ts";
import { gatewayPortkey } from "./benchmarks/gateway-portkey.ts";
import { gatewayStart } from "./benchmarks/gateway-start.ts";
import { gatewayStream } from "./benchmarks/gateway-stream.ts";
import { gatewayStreams } from "./benchmarks/gateway-streams.ts";
import { keysLimits } from "./benchmarks/keys-limits.ts";
import { keysMemory } from "./benchmarks/keys-memory.ts";
import { keysRevoke } from "./benchmarks/keys-revoke.ts";
import { keysVerifyBatch } from "./benchmarks/keys-verify-batch.ts";
import { keysVerifyHttp } from "./benchmarks/keys-verify-http.ts";
import { keysVerifyProcess } from "./benchmarks/keys-verify-process.ts";
import { memory } from "./benchmarks/memory.ts";
import { listTable, resultTable } from "./report.ts";

const benchmarks: readonly Benchmark[] = [
  keysVerifyProcess,
  keysVerifyHttp,
  keysVerifyBatch,
  keysMemory,
  keysLimits,
  keysRevoke,
  gatewayChat,
  gatewayPortkey,
  gatewayStream,
  gatewayStreams,
  gatewayStart,
  gatewayBudget,
  memory,
];

async function main(): Promise<number> {
  const asked = readArguments();
  if (!asked) return refuse();
  const { values, positionals } = asked;
  if (values.help) {
    console.log(usage());
    return 0;
  }
  if (values.list) {
    const shown = benchmarks.map(({ id, what, against, bar }) => ({ id, what, against, bar }));
    console.log(values.json ? JSON.stringify(shown) : listTable(shown));
    return 0;
  }
  const benchmark = benchmarks.find(({ id }) => id === positionals[0]);
  const options = runOptions(values);
  if (!benchmark || positionals.length !== 1 || !options) return refuse();
  const result = resultOf(benchmark, await benchmark.run(options));
  console.log(values.json ? JSON.stringify(result) : resultTable(result));
  return 0;
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        help: { type: "boolean", short: "h", default: false },
        list: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        rounds: { type: "string", default: "7" },
        seconds: { type: "string", default: "3" },
        size: { type: "string" },
      },
    });
  } catch (error) {
    // Only a wrong word throws, and its sentence names the word.
    console.error(`${error instanceof Error ? error.message : String(error)}\n`);
    return undefined;
  }
}

function refuse(): number {
  console.error(usage());
  return 2;
}

function usage(): string {
  const line = "npm run bench -- ID [--json] [--rounds 1–100] [--seconds up to 60] [--size up to 10,000,000]";
  return `usage: ${line}\n\n${listTable(benchmarks)}`;
}

function runOptions(values: { rounds: string; seconds: string; size?: string | undefined }): RunOptions | undefined {
  const [rounds, seconds, size] = [Number(values.rounds), Number(values.seconds), Number(values.size ?? 1)];
  if (!(rounds >= 1 && rounds <= 100) || !(seconds > 0 && seconds <= 60) || !(size >= 1 && size <= 10_000_000)) return undefined;
  const log = (sentence: string): void => console.error(sentence);
  return { rounds: Math.floor(rounds), seconds, ...(values.size === undefined ? {} : { size: Math.floor(size) }), log };
}

process.exitCode = await main();
