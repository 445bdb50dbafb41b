import { median, type Result, rounded, type Sample } from "./benchmark.ts";

/** What there is to measure, for people. */
export function listTable(benchmarks: readonly { id: string; what: string; against: string; bar: string }[]): string {
  return table([["id", "what", "against", "bar"], ...benchmarks.map(({ id, what, against, bar }) => [id, what, against, bar])]);
}

/** The medians of all rounds, each bar with what was measured, and the conditions. */
export function resultTable(result: Result): string {
  const samples = result.rounds.flatMap((round) => round.samples);
  const groups = Map.groupBy(samples, titleOf);
  const sides = [...groups].map(([name, group]) => [
    name,
    middle(group, "ratePerSecond"),
    middle(group, "cpuMicrosPerRequest"),
    middle(group, "p50Ms"),
    middle(group, "p99Ms"),
    middle(group, "firstByteP50Ms"),
    String(group.reduce((sum, sample) => sum + (sample.errors ?? 0), 0)),
  ]);
  const parts = result.parts.map((part) => [part.name, `${part.value} ${part.unit}`, part.bar, part.met ? "yes" : "no"]);
  return [
    `${result.id}: ${result.met ? "met" : "not met"} (against ${result.against})`,
    table([
      ["median of the rounds", `${result.counts}s/s`, `CPU µs/${result.counts}`, "p50 ms", "p99 ms", "first byte ms", "errors"],
      ...sides,
    ]),
    table([["promise", "measured", "bar", "met"], ...parts]),
    table(Object.entries(result.conditions).map(([name, value]) => [name, String(value)])),
  ].join("\n\n");
}

function titleOf({ side, concurrency, dueEachSecond }: Sample): string {
  return [side, concurrency && `c=${concurrency}`, dueEachSecond && `${dueEachSecond}/s`].filter(Boolean).join(", ");
}

function middle(samples: readonly Sample[], figure: string): string {
  const values = samples.map((sample) => sample[figure]).filter((value) => typeof value === "number");
  return values.length === 0 ? "" : String(rounded(median(values)));
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
