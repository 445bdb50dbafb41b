/** Prometheus metrics of one service, in a registry of its own: three services may share a process. */
import { collectDefaultMetrics, Histogram, Registry } from "prom-client";

export interface RequestObservation {
  method: string;
  /** The route's pattern, never the URL: labels must stay few. */
  route: string;
  status: number;
  durationSeconds: number;
}

export interface Metrics {
  readonly registry: Registry;
  observeRequest(observation: RequestObservation): void;
}

export function createMetrics(options: { service: string }): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service: options.service });
  collectDefaultMetrics({ register: registry });
  const requests = new Histogram({
    name: "http_server_request_duration_seconds",
    help: "Time from the request's first byte read to the answer's last byte written.",
    labelNames: ["method", "route", "status"],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    registers: [registry],
  });
  return {
    registry,
    observeRequest: ({ method, route, status, durationSeconds }) => requests.observe({ method, route, status }, durationSeconds),
  };
}
