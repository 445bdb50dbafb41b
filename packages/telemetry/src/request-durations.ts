/** The histogram of request durations: every request passes here, a scrape comes every few seconds. */
import type { Registry } from "prom-client";
import { type HistogramSeries, openHistogram } from "./series.ts";

export interface RequestObservation {
  method: string;
  /** The pattern, never the path: a path would make one series for every id. */
  route: string;
  status: number;
  durationSeconds: number;
}

const bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export function requestDurations(registry: Registry): (observation: RequestObservation) => void {
  const histogram = openHistogram(registry, {
    name: "http_server_request_duration_seconds",
    help: "From the first byte of the request's head to the last of the answer, in seconds",
    bounds,
  });
  let last: { labels: { method: string; route: string; status: number }; series: HistogramSeries } | undefined;
  const byRoute = new Map<string, Map<string, NonNullable<typeof last>>>();
  const seriesOf = ({ method, route, status }: RequestObservation): NonNullable<typeof last> => {
    const ofRoute = byRoute.get(route) ?? new Map<string, NonNullable<typeof last>>();
    byRoute.set(route, ofRoute);
    const key = `${method} ${status}`;
    const labels = { method, route, status };
    const known = ofRoute.get(key) ?? { labels, series: histogram.of(labels) };
    ofRoute.set(key, known);
    return known;
  };
  return (observation) => {
    const { method, route, status, durationSeconds } = observation;
    // Requests come in runs of one kind.
    if (!last || last.labels.route !== route || last.labels.status !== status || last.labels.method !== method)
      last = seriesOf(observation);
    last.series.observe(durationSeconds);
  };
}
