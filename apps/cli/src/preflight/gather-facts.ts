import { existsSync, readdirSync, readFileSync, statfsSync, statSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";
import type { ComposeModel } from "../docker/compose-model.ts";
import type { Docker } from "../docker/open-docker.ts";
import { runCommand } from "../docker/run-command.ts";
import { settingsForCompose } from "../env-file/compose-settings.ts";
import { parseEnvFile } from "../env-file/parse-env-file.ts";
import type { Facts, Known } from "./facts.ts";
import { findPortUse } from "./find-port-use.ts";

interface Sources {
  readonly docker: Docker;
  readonly directory: string;
  readonly project: string;
  readonly environment: NodeJS.ProcessEnv;
}

export async function gatherFacts({ docker, directory, project, environment }: Sources): Promise<Facts> {
  const env = readEnv(join(directory, ".env.pf"));
  const settings = settingsForCompose(env?.file.values ?? new Map());
  const ports = ["PORT", "NEXUS_PUABOAI_SDK_PORT", "NEXUS_PV_KEYS_PORT"].map((name) => Number(settings[name]));
  const [engine, compose, model, committed, volumes, portUses] = await Promise.all([
    readEngine(docker),
    readComposeVersion(docker),
    readModel(docker),
    readCommitted(directory, environment),
    readVolumes(docker, project),
    Promise.all(ports.filter((port) => port > 0 && port <= 65_535).map((port) => findPortUse(port, project, docker))),
  ]);
  const { bavail, bsize } = statfsSync(directory);
  return {
    engine,
    compose,
    model,
    env,
    secrets: readSecrets(join(directory, "secrets")),
    committed,
    volumes,
    ports: portUses,
    machine: { cpus: availableParallelism(), memoryBytes: totalmem(), diskFreeBytes: bavail * bsize },
  };
}

const lastLine = (text: string): string => text.trim().split("\n").at(-1) ?? "";

async function readEngine(docker: Docker): Promise<Known<string>> {
  const { code, stdout, stderr } = await docker.docker(["version", "--format", "{{.Server.Version}}"], { timeoutMs: 20_000 });
  return code === 0 ? { value: stdout.trim() } : { fault: `docker version: ${lastLine(stderr) || `ended with ${code}`}` };
}

async function readComposeVersion(docker: Docker): Promise<Known<string>> {
  const { code, stdout, stderr } = await docker.docker(["compose", "version", "--short"], { timeoutMs: 20_000 });
  return code === 0 ? { value: stdout.trim() } : { fault: `docker compose version: ${lastLine(stderr) || `ended with ${code}`}` };
}

async function readModel(docker: Docker): Promise<Facts["model"]> {
  const { code, stdout, stderr } = await docker.compose(["config", "--format", "json"], { timeoutMs: 30_000 });
  if (code !== 0) return { fault: `docker compose config: ${lastLine(stderr) || `ended with ${code}`}` };
  const warnings = stderr.split("\n").filter((line) => /warn|not set/i.test(line));
  return { value: { model: JSON.parse(stdout) as ComposeModel, warnings } };
}

async function readVolumes(docker: Docker, project: string): Promise<Known<readonly string[]>> {
  const filter = `label=com.docker.compose.project=${project}`;
  const { code, stdout, stderr } = await docker.docker(["volume", "ls", "-q", "--filter", filter], { timeoutMs: 20_000 });
  return code === 0 ? { value: stdout.split("\n").filter(Boolean) } : { fault: lastLine(stderr) };
}

async function readCommitted(directory: string, environment: NodeJS.ProcessEnv): Promise<Known<readonly string[]>> {
  const options = { cwd: directory, env: environment, timeoutMs: 20_000 };
  const { code, stdout } = await runCommand("git", ["ls-files", "--", ".env.pf", "secrets"], options);
  return code === 0 ? { value: stdout.split("\n").filter(Boolean) } : { fault: "no git, or no git checkout" };
}

function readEnv(path: string): Facts["env"] {
  if (!existsSync(path)) return undefined;
  return { file: parseEnvFile(readFileSync(path, "utf8")), mode: statSync(path).mode & 0o777 };
}

function readSecrets(directory: string): Facts["secrets"] {
  if (!existsSync(directory)) return undefined;
  const files = readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith(".new"))
    .map(({ name }) => {
      const { mode, gid } = statSync(join(directory, name));
      return { name, mode: mode & 0o777, group: gid, content: readFileSync(join(directory, name), "utf8") };
    });
  return { directoryMode: statSync(directory).mode & 0o777, files };
}
