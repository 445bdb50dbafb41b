/** The life of a service's process; the only code that hears signals. */
import { type Config, ConfigError, type ConfigSchema, loadConfig } from "@nexus/config";
import { censorText, createLogger, flushLogger, type Logger } from "@nexus/telemetry";
import { hearFirst, isFirst, runSeveral } from "./several-processes.ts";

interface Running {
  close(): Promise<void>;
  /** On SIGHUP: reads again what may change while it runs. Without it SIGHUP ends the process, as it does by itself. */
  reload?: () => Promise<unknown>;
}

interface MainTools {
  logger: Logger;
  /** Aborted when the process is told to end while it is still starting. */
  signal: AbortSignal;
}

export interface MainOptions<S extends ConfigSchema> {
  process: NodeJS.Process;
  serviceName: string;
  schema: S;
  rules?: (config: Config<S>) => readonly string[];
  /** Starts the service. If it throws, it has closed what it opened. */
  start(config: Config<S>, tools: MainTools): Promise<Running>;
  /** How many processes share the ports; one unless told. */
  processes?: (config: Config<S>) => number;
  /** After this a `close` that hangs is given up; 15,000 unless told. */
  closeDeadlineMs?: number;
}

/** An ordinary reason not to start, such as a folder that is in use: whoever starts it needs the sentence and no stack. */
export class StartFault extends Error {
  override readonly name = "StartFault";
}

/**
 * Configuration, start, signals, end. Exit codes: 0 after SIGTERM or SIGINT, 1 after anything else.
 * Every fault of the configuration is printed at once, and nothing is started then.
 */
export async function runMain<S extends ConfigSchema>(options: MainOptions<S>): Promise<void> {
  const { process, serviceName } = options;
  let config: Config<S>;
  try {
    config = loadConfig(options.schema, process.env, options.rules);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${serviceName}: ${error.message}\n`);
    process.exitCode = 1;
    return;
  }
  const level = (config as { NEXUS_LOG_LEVEL?: string }).NEXUS_LOG_LEVEL ?? "info";
  const logger = createLogger({ service: serviceName, level });
  const count = options.processes?.(config) ?? 1;
  if (count > 1 && isFirst()) {
    // Each of the others gives up first, and says why.
    const stopDeadlineMs = (options.closeDeadlineMs ?? usualCloseDeadlineMs) + 1000;
    return runSeveral({ process, logger, count, stopDeadlineMs, exit: exitOf(process, logger) });
  }
  const life = beginLife(options, logger);
  try {
    const running = await options.start(config, { logger, signal: life.signal });
    await life.started(running);
  } catch (error) {
    explain(error, options, logger);
    await life.exit(1);
  }
}

interface Life {
  signal: AbortSignal;
  started(running: Running): Promise<void>;
  exit(code: number): Promise<void>;
}

const usualCloseDeadlineMs = 15_000;

/** Ends the process when its last lines are written. */
function exitOf(process: NodeJS.Process, logger: Logger): Life["exit"] {
  return async (code) => {
    await flushLogger(logger);
    process.exit(code);
  };
}

function beginLife<S extends ConfigSchema>(options: MainOptions<S>, logger: Logger): Life {
  const { process, closeDeadlineMs = usualCloseDeadlineMs } = options;
  const stop = new AbortController();
  const exit = exitOf(process, logger);
  let running: Running | undefined;
  let ending: { code: number } | undefined;

  const closeAndExit = async (code: number): Promise<void> => {
    const guard = setTimeout(() => {
      logger.fatal({ event: "close_timeout", deadline_ms: closeDeadlineMs }, "closing took too long");
      void exit(1);
    }, closeDeadlineMs);
    try {
      await running?.close();
    } catch (error) {
      logger.fatal({ event: "close_failed", err: error }, "closing failed");
      await exit(1);
    }
    clearTimeout(guard);
    logger.info({ event: "stopped" }, "stopped");
    await exit(code);
  };
  const end = (code: number): void => {
    if (ending) {
      // Whoever asks twice does not want to wait.
      void exit(1);
      return;
    }
    ending = { code };
    stop.abort();
    if (running) void closeAndExit(code);
  };
  const crash = (error: unknown): void => {
    logger.fatal({ event: "crash", err: asError(error) }, "unexpected error");
    // The state is unknown now: finish what can be finished, then let the supervisor start anew.
    if (!running) void exit(1);
    else if (ending) ending.code = 1;
    else end(1);
  };
  const reload = (): void => void running?.reload?.().catch(crash);
  // One of several may be told twice, by the first and by whoever tells all of a terminal or a unit; only the first grows impatient.
  const endOnce = (code: number): void => void (ending || end(code));
  const first = hearFirst({ stop: () => endOnce(0), reload, orphaned: () => endOnce(1) });
  for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => (first ? endOnce(0) : end(0)));
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);
  return {
    signal: stop.signal,
    started: async (started) => {
      running = started;
      if (started.reload) process.on("SIGHUP", reload);
      first?.started();
      if (ending) await closeAndExit(ending.code);
    },
    exit,
  };
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error("something that is no Error was thrown", { cause: thrown });
}

/** What a person at the terminal needs is one line; what is unexpected goes to the log with its cause as well. */
function explain<S extends ConfigSchema>(error: unknown, { process, serviceName }: MainOptions<S>, logger: Logger): void {
  const known = error instanceof ConfigError || error instanceof StartFault ? error.message : portFault(error);
  if (known === undefined) logger.fatal({ event: "start_failed", err: asError(error) }, "the service could not start");
  process.stderr.write(`${serviceName}: ${known ?? `could not start: ${censorText(asError(error).message)}`}\n`);
}

/** Why a port could not be had, when that is why starting failed. */
function portFault(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const { code, port } = at as { code?: unknown; port?: unknown };
    if (typeof port !== "number") continue;
    if (code === "EADDRINUSE") return `port ${port} is taken by another process; stop it or choose another port`;
    if (code === "EACCES") return `port ${port} may not be used by this user; choose one above 1023`;
  }
  return undefined;
}
