#!/usr/bin/env node
import { resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { deployCommand } from "./deploy/deploy-command.ts";
import { preflightCommand } from "./preflight/preflight-command.ts";
import { scanCommand } from "./scan/scan-command.ts";

const list = (text: string): string[] => text.split(",").filter(Boolean);
const projectName = (text: string): string => {
  if (/^[a-z0-9][a-z0-9_-]*$/.test(text)) return text;
  throw new InvalidArgumentError("must be lower-case letters, digits, - and _");
};

const surroundings = {
  environment: process.env,
  print: (text: string): void => void process.stdout.write(text),
  self: { pid: process.pid, isAlive },
};

/** Signal 0 asks only whether the process could be signalled; EPERM means that it is somebody else's, and alive. */
function isAlive(pid: number): boolean {
  if (pid <= 0) return false;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

const program = new Command("nexus")
  .description("Checks and brings up the deployment of docker-compose.pf.yml, and finds keys where they should not be.")
  .showHelpAfterError();
const directory = new Option("--directory <path>", "folder of docker-compose.pf.yml")
  .default(resolve("."), "the present folder")
  .argParser((path) => resolve(path));
const project = new Option("--project <name>", "name of the compose project").default("nexus-cos").argParser(projectName);

program
  .command("preflight")
  .description("Says whether this machine and configuration can be deployed: exit code 0 go, 11 no-go.")
  .addOption(directory)
  .addOption(project)
  .addOption(new Option("--format <format>", "form of the report").choices(["text", "json"]).default("text"))
  .option("--only <ids>", "run these checks, or groups such as secrets, alone", list)
  .option("--skip <ids>", "leave these out", list)
  .option("--list-checks", "show every check and what it proves")
  .action(async (options) => {
    process.exitCode = await preflightCommand({ ...surroundings, ...options });
  });

program
  .command("deploy")
  .description("Validates, builds, starts, migrates, verifies one whole journey and records it: exit code 0 done, 1 failed.")
  .addOption(directory)
  .addOption(project)
  .option("--plan", "show the steps and the pre-flight, change nothing")
  .option("--down", "stop and remove the containers; data and secrets stay")
  .option("--json", "print one JSON document at the end instead of progress")
  .action(async (options) => {
    process.exitCode = await deployCommand({ ...surroundings, ...options });
  });

program
  .command("keys")
  .description("About platform keys, offline.")
  .command("scan")
  .description("Finds platform keys in files: exit code 0 none, 1 found, 2 not everything could be read.")
  .argument("<path...>", "files and folders; - is the standard input")
  .option("--json", "one JSON object a line")
  .option("--hashes", "show the SHA-256 of each key, for POST /v1/leaks/hashes")
  .action(async (paths, options) => {
    const printError = (text: string): void => void process.stderr.write(text);
    process.exitCode = await scanCommand({ ...surroundings, printError, input: process.stdin, paths, ...options });
  });

await program.parseAsync();
