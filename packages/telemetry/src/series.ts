/**
 * Histograms and counters that are counted in plain arrays: every call passes here, a scrape comes every few seconds. Whoever
 * counts holds the series of its labels, so that nothing is looked up by label at the call.
 */
import type { MetricObjectWithValues, MetricValue, Registry } from "prom-client";

export type Labels = Readonly<Record<string, string | number>>;
type Value = MetricValue<string> & { metricName: string };

interface Named {
  name: string;
  help: string;
}

export interface Series<S> {
  /** Of these labels, made when it is first asked for. */
  of(labels: Labels): S;
  /** Forgets those that are not wanted any more. */
  keepOnly(isWanted: (labels: Labels) => boolean): void;
}

export interface HistogramSeries {
  observe(value: number): void;
}

export interface CounterSeries {
  add(value: number): void;
}

/** @param bounds upper ones, rising */
export function openHistogram(
  registry: Registry,
  { bounds, ...named }: Named & { bounds: readonly number[] },
): Series<HistogramSeries> {
  return openSeries(registry, { ...named, type: "histogram" }, (labels) => {
    /** How many fell between each bound and the one below it; the last are those above all bounds. */
    const counts = new Float64Array(bounds.length + 1);
    let sum = 0;
    return {
      observe(value: number) {
        let bucket = 0;
        while (bucket < bounds.length && value > (bounds[bucket] ?? Infinity)) bucket++;
        counts[bucket] = (counts[bucket] ?? 0) + 1;
        sum += value;
      },
      values: () => histogramValues(named.name, { labels, bounds, counts, sum }),
    };
  });
}

export function openCounter(registry: Registry, named: Named): Series<CounterSeries> {
  return openSeries(registry, { ...named, type: "counter" }, (labels) => {
    let total = 0;
    return {
      add: (value: number) => void (total += value),
      values: () => [{ metricName: named.name, labels, value: total }],
    };
  });
}

interface Opened extends Named {
  type: "histogram" | "counter";
}

function openSeries<S extends { values(): Value[] }>(
  registry: Registry,
  { name, help, type }: Opened,
  open: (labels: Labels) => S,
): Series<S> {
  const all = new Map<string, { labels: Labels; series: S }>();
  const get = (): Promise<MetricObjectWithValues<MetricValue<string>>> => {
    const values = [...all.values()].flatMap(({ series }) => series.values());
    return Promise.resolve({ name, help, type, aggregator: "sum", values } as unknown as MetricObjectWithValues<
      MetricValue<string>
    >);
  };
  registry.registerMetric({ name, get, reset: () => all.clear() } as unknown as Parameters<Registry["registerMetric"]>[0]);
  return {
    of: (labels) => {
      const key = JSON.stringify(labels);
      const known = all.get(key) ?? { labels, series: open(labels) };
      all.set(key, known);
      return known.series;
    },
    keepOnly: (isWanted) => {
      for (const [key, { labels }] of all) if (!isWanted(labels)) all.delete(key);
    },
  };
}

interface Counted {
  labels: Labels;
  bounds: readonly number[];
  counts: Float64Array;
  sum: number;
}

/** Buckets are cumulative in the text format (Prometheus exposition format, "Histograms and summaries"). */
function histogramValues(name: string, { labels, bounds, counts, sum }: Counted): Value[] {
  let total = 0;
  const buckets = Array.from(counts, (count, index) => {
    total += count;
    return { metricName: `${name}_bucket`, labels: { le: bounds[index] ?? "+Inf", ...labels }, value: total };
  });
  return [...buckets, { metricName: `${name}_sum`, labels, value: sum }, { metricName: `${name}_count`, labels, value: total }];
}
