export { censorText } from "./censor.ts";
export { createLogger, flushLogger, type Logger, logLevels } from "./create-logger.ts";
export { createMetrics, type Metrics } from "./create-metrics.ts";
export type { RequestObservation } from "./request-durations.ts";
export { type CounterSeries, type HistogramSeries, type Labels, openCounter, openHistogram, type Series } from "./series.ts";
export { answerForAll } from "./several-processes.ts";
