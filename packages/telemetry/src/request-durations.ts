/** The histogram of request durations, counted in plain arrays: every request passes here, a scrape comes every few seconds. */
import type { MetricObjectWithValues, MetricValue, Registry } from "prom-client";

export interface RequestObservation {
  method: string;
  /** The pattern, never the path: a path would make one series for every id. */
  route: string;
  status: number;
  durationSeconds: number;
}

const name = "http_server_request_duration_seconds";
const help = "From the first byte of the request's head to the last of the answer, in seconds";
const bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

interface Series {
  readonly labels: { method: string; route: string; status: number };
  /** How many fell between each bound and the one below it; the last are those above all bounds. */
  readonly counts: Float64Array;
  sum: number;
}

export function requestDurations(registry: Registry): (observation: RequestObservation) => void {
  const byRoute = new Map<string, Map<string, Series>>();
  const seriesOf = ({ method, route, status }: RequestObservation): Series => {
    const ofRoute = byRoute.get(route) ?? new Map<string, Series>();
    byRoute.set(route, ofRoute);
    const key = `${method} ${status}`;
    const series = ofRoute.get(key) ?? { labels: { method, route, status }, counts: new Float64Array(bounds.length + 1), sum: 0 };
    ofRoute.set(key, series);
    return series;
  };
  const get = (): Promise<MetricObjectWithValues<MetricValue<string>>> => {
    const values = [...byRoute.values()].flatMap((ofRoute) => [...ofRoute.values()].flatMap(valuesOf));
    return Promise.resolve({ name, help, type: "histogram", aggregator: "sum", values } as unknown as MetricObjectWithValues<
      MetricValue<string>
    >);
  };
  registry.registerMetric({ name, get, reset: () => byRoute.clear() } as unknown as Parameters<Registry["registerMetric"]>[0]);
  let last: Series | undefined;
  return (observation) => {
    const { method, route, status, durationSeconds } = observation;
    // Requests come in runs of one kind.
    if (!last || last.labels.route !== route || last.labels.status !== status || last.labels.method !== method)
      last = seriesOf(observation);
    let bucket = 0;
    while (bucket < bounds.length && durationSeconds > (bounds[bucket] ?? Infinity)) bucket++;
    last.counts[bucket] = (last.counts[bucket] ?? 0) + 1;
    last.sum += durationSeconds;
  };
}

/** Buckets are cumulative in the text format (Prometheus exposition format, "Histograms and summaries"). */
function valuesOf({ labels, counts, sum }: Series): (MetricValue<string> & { metricName: string })[] {
  let total = 0;
  const buckets = Array.from(counts, (count, index) => {
    total += count;
    return { metricName: `${name}_bucket`, labels: { le: bounds[index] ?? "+Inf", ...labels }, value: total };
  });
  return [...buckets, { metricName: `${name}_sum`, labels, value: sum }, { metricName: `${name}_count`, labels, value: total }];
}
