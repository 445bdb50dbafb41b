export { censorText } from "./censor.ts";
export { createLogger, flushLogger, type Logger, logLevels } from "./create-logger.ts";
export { createMetrics, type Metrics, type RequestObservation } from "./create-metrics.ts";
