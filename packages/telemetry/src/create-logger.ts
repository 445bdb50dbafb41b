import pino, { type Logger as PinoLogger } from "pino";
import { censorFields, censorText, describeError } from "./censor.ts";

export type Logger = PinoLogger;

/** In the order of their weight; `silent` writes nothing. */
export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

interface LoggerOptions {
  service: string;
  level: string;
  /** Where the lines go; standard output unless told. */
  destination?: NodeJS.WritableStream;
}

/**
 * A logger that writes one JSON object a line: `level`, `time` (RFC 3339, UTC), `service`, fields.
 * Secrets are replaced whatever depth they stand at; bodies, class instances and queries of addresses are left out.
 */
export function createLogger(options: LoggerOptions): Logger {
  const logger = pino(
    {
      level: options.level,
      base: { service: options.service },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: censorFields },
      serializers: { err: (error: unknown) => (error instanceof Error ? describeError(error) : error) },
      hooks: { streamWrite: censorText },
    },
    // Not synchronous: a slow reader of the log must not hold up requests. What is not written yet is bounded,
    // and flushed when the process ends.
    options.destination ?? pino.destination({ dest: 1, sync: false, maxLength: 16_777_216 }),
  );
  // Pino asks no formatter about a child's fields; its children inherit this method.
  const child = Reflect.get(logger, "child") as (this: unknown, fields: object, settings: unknown) => unknown;
  Reflect.set(logger, "child", function censoredChild(this: unknown, fields: Record<string, unknown>, settings: unknown) {
    return child.call(this, censorFields(fields), settings);
  });
  return logger;
}

/** Resolves when what was logged so far has been handed to the operating system, or after `deadlineMs`. */
export async function flushLogger(logger: Logger, deadlineMs = 1000): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, deadlineMs);
  logger.flush(() => resolve());
  await promise;
  clearTimeout(timer);
}
