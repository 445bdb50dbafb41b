/** What every `main.ts` does: read the configuration, start, and stop in order when told to. */
import { type Config, ConfigError, type ConfigSchema, loadConfig } from "@nexus/config";
import { createLogger, type Logger } from "@nexus/telemetry";

interface Running {
  close(): Promise<void>;
}

interface MainOptions<S extends ConfigSchema> {
  process: NodeJS.Process;
  serviceName: string;
  schema: S;
  rules?: (config: Config<S>) => readonly string[];
  /** Starts all or nothing: what it opened before a failure it closes itself. */
  start(config: Config<S>, tools: { logger: Logger }): Promise<Running>;
}

/** Exit code 0 after SIGTERM or SIGINT, 1 when it could not start or something broke; a second signal ends it at once. */
export async function runMain<S extends ConfigSchema>(options: MainOptions<S>): Promise<void> {
  const { process, serviceName } = options;
  const stop = stopSwitch(process, serviceName);
  try {
    const config = loadConfig(options.schema, process.env, options.rules);
    const level = (config as Record<string, unknown>)["NEXUS_LOG_LEVEL"];
    const logger = createLogger({ service: serviceName, level: typeof level === "string" ? level : "info" });
    stop.started(await options.start(config, { logger }), logger);
  } catch (error) {
    process.stderr.write(`${serviceName}: ${startFailure(error)}\n`);
    process.exit(1);
  }
}

/** Holds the signals from the beginning, so that one that arrives while starting is obeyed as soon as it can be. */
function stopSwitch(process: NodeJS.Process, serviceName: string) {
  let running: Running | undefined;
  let stopping: { code: number } | undefined;
  const stop = (code: number): void => {
    if (stopping) process.exit(code || 130);
    stopping = { code };
    if (running) void closeAndExit(running, code);
  };
  const closeAndExit = async (toClose: Running, code: number): Promise<void> => {
    try {
      await toClose.close();
      process.exit(code);
    } catch (error) {
      process.stderr.write(`${serviceName}: did not stop cleanly: ${String(error)}\n`);
      process.exit(1);
    }
  };
  process.on("SIGTERM", () => stop(0));
  process.on("SIGINT", () => stop(0));
  return {
    started(service: Running, logger: Logger): void {
      running = service;
      for (const event of ["uncaughtException", "unhandledRejection"] as const) {
        process.on(event, (error: unknown) => {
          logger.fatal({ err: error }, event);
          stop(1);
        });
      }
      if (stopping) void closeAndExit(service, stopping.code);
    },
  };
}

function startFailure(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  const { code, port, message, stack } = error as NodeJS.ErrnoException & { port?: number };
  if (code === "EADDRINUSE") return `port ${port} is taken by another process; stop it or choose another port`;
  if (code === "EACCES" && port !== undefined) return `port ${port} may not be used by this user; choose one above 1023`;
  return error instanceof Error && error.name === "Error" ? message : String(stack ?? error);
}
