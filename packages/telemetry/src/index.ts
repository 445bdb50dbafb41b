export { createLogger, type Logger } from "./logger.ts";
export { createMetrics, type Metrics, type RequestObservation } from "./metrics.ts";
