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

export interface RequestObservation {
  method: string;
  /** The pattern, never the path: a path would make one series for every id. */
  route: string;
  status: number;
  durationSeconds: number;
}

type Without<T> = Omit<T, "registers">;

export interface Metrics {
  registry: Registry;
  observeRequest(observation: RequestObservation): void;
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
  const duration = new Histogram({
    name: "http_server_request_duration_seconds",
    help: "From the first byte of the request's head to the last of the answer, in seconds",
    labelNames: ["method", "route", "status"],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    registers,
  });
  return {
    registry,
    observeRequest: ({ method, route, status, durationSeconds }) => {
      duration.observe({ method, route, status }, durationSeconds);
    },
    counter: (o) => new Counter({ ...o, registers }),
    gauge: (o) => new Gauge({ ...o, registers }),
    histogram: (o) => new Histogram({ ...o, registers }),
  };
}
