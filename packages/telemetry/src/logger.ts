/** JSON lines, one wide event per request. What could let somebody in is censored before it is written. */
import { pino } from "pino";

export type Logger = pino.Logger;

interface LoggerOptions {
  service: string;
  level: string;
  destination?: NodeJS.WritableStream;
}

const secretNames = ["authorization", "cookie", "set-cookie", "x-api-key", "password", "secret", "token", "code", "key"];

export function createLogger(options: LoggerOptions): Logger {
  const paths = secretNames.flatMap((name) => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`]);
  const settings: pino.LoggerOptions = {
    level: options.level,
    base: { service: options.service },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths, censor: "[redacted]" },
    serializers: { err: pino.stdSerializers.errWithCause },
  };
  return options.destination ? pino(settings, options.destination) : pino(settings);
}
