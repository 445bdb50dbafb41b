/** What a benchmark is and what it hands back; design: one table and one JSON object, numbers as they are. */

export interface RunOptions {
  rounds: number;
  /** Of load, for each side of a round. */
  seconds: number;
  /** How many of what it is about, where a benchmark counts: streams, requests, calls. Without it: its own number. */
  size?: number;
  /** Progress, for people; never part of the result. */
  log: (sentence: string) => void;
}

/** One side of one round. */
export interface Sample {
  side: string;
  ratePerSecond: number;
  /** CPU of the measured process alone. */
  cpuMicrosPerRequest: number;
  p50Ms?: number;
  p99Ms?: number;
  errors?: number;
  /** Anything else that was counted, by name. */
  [more: string]: number | string | undefined;
}

export interface Round {
  round: number;
  samples: Sample[];
}

/** One promise of the benchmark and whether it was kept. */
export interface Part {
  name: string;
  value: number;
  unit: string;
  bar: string;
  met: boolean;
}

export interface Outcome {
  /** The first is the benchmark's headline; all must be met. */
  parts: [Part, ...Part[]];
  rounds: Round[];
  conditions: Record<string, string | number>;
}

export interface Benchmark {
  id: string;
  what: string;
  against: string;
  bar: string;
  /** What a rate counts; "request" unless told. */
  counts?: string;
  run(options: RunOptions): Promise<Outcome>;
}

export interface Result {
  id: string;
  value: number;
  unit: string;
  bar: string;
  met: boolean;
  against: string;
  counts: string;
  parts: Part[];
  rounds: Round[];
  conditions: Record<string, string | number>;
}

export function resultOf(benchmark: Benchmark, outcome: Outcome): Result {
  const [first] = outcome.parts;
  return {
    id: benchmark.id,
    value: first.value,
    unit: first.unit,
    bar: benchmark.bar,
    met: outcome.parts.every((part) => part.met),
    against: benchmark.against,
    counts: benchmark.counts ?? "request",
    parts: outcome.parts,
    rounds: outcome.rounds,
    conditions: outcome.conditions,
  };
}

export function atLeast(name: string, value: number, bar: number, unit: string): Part {
  return { name, value: rounded(value), unit, bar: `≥ ${bar}`, met: value >= bar };
}

export function atMost(name: string, value: number, bar: number, unit: string): Part {
  return { name, value: rounded(value), unit, bar: `≤ ${bar}`, met: value <= bar };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** For what is told and held against nothing. */
export function reported(name: string, value: number, unit: string): Part {
  return { name, value: rounded(value), unit, bar: "reported", met: true };
}

/** Three digits that mean something. */
export function rounded(value: number): number {
  return Number.isFinite(value) ? Number(value.toPrecision(value >= 1000 ? 4 : 3)) : value;
}
