/** The one-shot program that acts as the schema's owner. No serving process has these rights. */
import { parseArgs } from "node:util";
import { ConfigError, type Environment } from "@nexus/config";
import { isUnavailable } from "@nexus/db";
import { createJourneyUser } from "./create-journey-user.ts";
import { migrateDatabase, showMigrations } from "./migrate-database.ts";
import { recordDeploy } from "./record-deploy.ts";
import { removeJourneyUser } from "./remove-journey-user.ts";
import { UsageError } from "./usage-error.ts";

export interface Program {
  /** Without the interpreter and the script. */
  args: readonly string[];
  env: Environment;
  stdin: AsyncIterable<Buffer | string>;
  /** One line of the answer. */
  print(line: string): void;
  /** One line of what went wrong. */
  complain(line: string): void;
}

const usage = `usage: db-admin <command>
  migrate [--status | --dry-run]           make the roles and bring the schema up to date
  journey-user create [--role user|admin]  make a throw-away person for a verification; prints JSON
  journey-user remove --email <address>    remove that person and everything of theirs; prints JSON
  record-deploy                            write an audit entry about a deployment, told as JSON on stdin`;

/** @returns the exit code: 0 done, 1 failed, 2 not understood */
export async function runDbAdmin(program: Program): Promise<number> {
  try {
    await dispatch(program);
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      program.complain(`${error.message}\n${usage}`);
      return 2;
    }
    for (const line of describe(error)) program.complain(line);
    return 1;
  }
}

async function dispatch(program: Program): Promise<void> {
  const { positionals, values } = readArguments(program.args);
  const command = positionals.join(" ");
  refuseForeignOptions(command, Object.keys(values));
  if (command === "migrate")
    return await (values.status ? showMigrations(program) : migrateDatabase(program, values["dry-run"] ?? false));
  if (command === "journey-user create") return await createJourneyUser(program, values.role ?? "user");
  if (command === "journey-user remove") return await removeJourneyUser(program, values.email);
  if (command === "record-deploy") return await recordDeploy(program);
  throw new UsageError(command === "" ? "a command is missing" : `there is no command ${JSON.stringify(command)}`);
}

function readArguments(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        status: { type: "boolean" },
        "dry-run": { type: "boolean" },
        role: { type: "string" },
        email: { type: "string" },
      },
    });
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
}

const optionsOf: Readonly<Record<string, readonly string[]>> = {
  migrate: ["status", "dry-run"],
  "journey-user create": ["role"],
  "journey-user remove": ["email"],
};

/** An option that does nothing here was meant for something. */
function refuseForeignOptions(command: string, given: readonly string[]): void {
  const foreign = given.find((name) => !(optionsOf[command] ?? []).includes(name));
  if (foreign !== undefined) throw new UsageError(`--${foreign} has no meaning with ${command || "no command"}`);
  if (given.length > 1) throw new UsageError("--status and --dry-run exclude each other");
}

function describe(error: unknown): string[] {
  if (error instanceof ConfigError) return [...error.faults];
  const message = error instanceof Error ? error.message : String(error);
  return isUnavailable(error) ? [`PostgreSQL cannot do this at the moment: ${message}`] : [message];
}
