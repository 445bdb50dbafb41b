import {
  collectDefaultMetrics,
  Counter,
  type CounterConfiguration,
  Gauge,
  type GaugeConfiguration,
  Histogram,
  type HistogramConfiguration,
  Registry,
} from "prom-client";
import { type RequestObservation, requestDurations } from "./request-durations.ts";
import { openScrape } from "./several-processes.ts";

type Without<T> = Omit<T, "registers">;

export interface Metrics {
  registry: Registry;
  /** Prometheus text: of all processes where this is one of several behind a port. */
  scrape(): Promise<string>;
  observeRequest(observation: RequestObservation): void;
  /** The one of that name, where there is one already: parts that are opened again go on counting. */
  counter<L extends string>(options: Without<CounterConfiguration<L>>): Counter<L>;
  gauge<L extends string>(options: Without<GaugeConfiguration<L>>): Gauge<L>;
  histogram<L extends string>(options: Without<HistogramConfiguration<L>>): Histogram<L>;
}

/**
 * A registry of its own with the process's metrics and `http_server_request_duration_seconds`.
 * Labels are bounded sets: never the id of a key, a user or a request.
 */
export function createMetrics(options: { service: string }): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service: options.service });
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  return {
    registry,
    scrape: openScrape(registry),
    observeRequest: requestDurations(registry),
    counter: <L extends string>(o: Without<CounterConfiguration<L>>) =>
      (registry.getSingleMetric(o.name) as Counter<L> | undefined) ?? new Counter({ ...o, registers }),
    gauge: (o) => new Gauge({ ...o, registers }),
    histogram: (o) => new Histogram({ ...o, registers }),
  };
}
