/** `npm run bench -- ID [--json] [--rounds n] [--seconds n]` and `npm run bench -- --list [--json]`. */
import { parseArgs } from "node:util";
import { type Benchmark, resultOf } from "./benchmark.ts";
import { gatewayChat } from "./benchmarks/gateway-chat.ts";
import { gatewayStream } from "./benchmarks/gateway-stream.ts";
import { keysLimits } from "./benchmarks/keys-limits.ts";
import { keysMemory } from "./benchmarks/keys-memory.ts";
import { keysRevoke } from "./benchmarks/keys-revoke.ts";
import { keysVerifyBatch } from "./benchmarks/keys-verify-batch.ts";
import { keysVerifyHttp } from "./benchmarks/keys-verify-http.ts";
import { keysVerifyProcess } from "./benchmarks/keys-verify-process.ts";
import { listTable, resultTable } from "./report.ts";

const benchmarks: readonly Benchmark[] = [
  keysVerifyProcess,
  keysVerifyHttp,
  keysVerifyBatch,
  keysMemory,
  keysLimits,
  keysRevoke,
  gatewayChat,
  gatewayStream,
];

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      list: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      rounds: { type: "string", default: "7" },
      seconds: { type: "string", default: "3" },
    },
  });
  if (values.list) {
    const shown = benchmarks.map(({ id, what, against, bar }) => ({ id, what, against, bar }));
    console.log(values.json ? JSON.stringify(shown) : listTable(shown));
    return 0;
  }
  const benchmark = benchmarks.find(({ id }) => id === positionals[0]);
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
  if (!benchmark || positionals.length !== 1 || !(rounds >= 1 && rounds <= 100) || !(seconds > 0 && seconds <= 60)) {
    console.error(`usage: npm run bench -- ID [--json] [--rounds 1–100] [--seconds up to 60]\n\n${listTable(benchmarks)}`);
    return 2;
  }
  const log = (sentence: string): void => console.error(sentence);
  const result = resultOf(benchmark, await benchmark.run({ rounds: Math.floor(rounds), seconds, log }));
  console.log(values.json ? JSON.stringify(result) : resultTable(result));
  return 0;
}

process.exitCode = await main();
