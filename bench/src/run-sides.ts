/** Two servers under the same load, in turns: what disturbs the machine disturbs both. */
import { once } from "node:events";
import type { Round, RunOptions, Sample } from "./benchmark.ts";
import type { LoadJob, LoadReport } from "./load/load-job.ts";
import { type Child, forkProgram } from "./platform/start-child.ts";
import { cpuMicrosOf } from "./process-cpu.ts";

/** The load that is offered to a side; without a rate each connection sends its next request when its last is answered. */
export interface Offered {
  connections: number;
  dueEachSecond?: number;
}

export interface Side {
  name: string;
  pid: number;
  /** All but how long. */
  job: Omit<LoadJob, "durationMs" | "requests" | keyof Offered>;
}

/** A service compiles its hot code for longer than a bare server does; measured cold, its first rounds cost it twice as much. */
const warmUpMs = 8000;

const loadProgram = new URL("load/main.ts", import.meta.url).pathname;

export function startLoad(): Child {
  return forkProgram(loadProgram);
}

/** @param loads one set of samples for each of these */
export async function runSides(sides: readonly Side[], loads: readonly Offered[], options: RunOptions): Promise<Round[]> {
  const load = startLoad();
  try {
    for (const side of sides) await sendLoad(load, { ...side.job, connections: 32, durationMs: warmUpMs });
    const rounds: Round[] = [];
    for (let round = 1; round <= options.rounds; round++) {
      const samples: Sample[] = [];
      // Who is first takes turns too.
      const order = round % 2 === 1 ? sides : sides.toReversed();
      for (const offered of loads) for (const side of order) samples.push(await sampleOf(load, { ...side, offered }, options));
      rounds.push({ round, samples });
      options.log(`round ${round} of ${options.rounds}`);
    }
    return rounds;
  } finally {
    await load.stop();
  }
}

async function sampleOf(load: Child, side: Side & { offered: Offered }, options: RunOptions): Promise<Sample> {
  const before = cpuMicrosOf(side.pid);
  const report = await sendLoad(load, { ...side.job, ...side.offered, durationMs: options.seconds * 1000 });
  const cpuMicros = cpuMicrosOf(side.pid) - before;
  return {
    side: side.name,
    concurrency: side.offered.connections,
    dueEachSecond: side.offered.dueEachSecond,
    ratePerSecond: Math.round((report.requests / report.durationMs) * 1000),
    cpuMicrosPerRequest: Math.round((cpuMicros / report.requests) * 10) / 10,
    p50Ms: thousandths(report.p50Ms),
    p99Ms: thousandths(report.p99Ms),
    firstByteP50Ms: thousandths(report.firstByteP50Ms),
    readsPerAnswer: report.readsPerAnswer,
    errors: report.errors,
  };
}

/** One piece of load, to its end. */
export async function sendLoad(load: Child, job: LoadJob): Promise<LoadReport> {
  load.process.send(job);
  // `once` must not outlive the answer: a benchmark asks a hundred times.
  const answered = new AbortController();
  const { signal } = answered;
  const ended = once(load.process, "exit", { signal }).then(() => {
    throw new Error("the load process ended");
  });
  ended.catch(() => {});
  const [report] = (await Promise.race([once(load.process, "message", { signal }), ended])) as [LoadReport];
  answered.abort();
  if (report.requests === 0) throw new Error(`nothing was answered at ${job.url}`);
  return report;
}

/** Of each round: the figure of one side's sample, under one load. */
function figures(rounds: readonly Round[], side: string, figure: string, offered?: Offered): number[] {
  const isOf = (sample: Sample): boolean =>
    offered === undefined || (sample["concurrency"] === offered.connections && sample["dueEachSecond"] === offered.dueEachSecond);
  return rounds.flatMap(({ samples }) =>
    samples.filter((sample) => sample.side === side && isOf(sample)).map((sample) => Number(sample[figure])),
  );
}

/** Of each round: ours against theirs, under one load where there are several. */
export function pairs(
  rounds: readonly Round[],
  [ours, theirs]: readonly [Side, Side],
  figure: string,
  offered?: Offered,
): [number, number][] {
  const other = figures(rounds, theirs.name, figure, offered);
  return figures(rounds, ours.name, figure, offered).map((value, index) => [value, other[index] ?? Number.NaN]);
}

function thousandths(value: number): number {
  return Math.round(value * 1000) / 1000;
}
