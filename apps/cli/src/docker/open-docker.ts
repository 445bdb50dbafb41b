import { settingsForCompose } from "../env-file/compose-settings.ts";
import { type CommandResult, runCommand } from "./run-command.ts";

const composeFile = "docker-compose.pf.yml";

export interface Docker {
  docker(args: readonly string[], options?: { timeoutMs?: number; onOutput?: (text: string) => void }): Promise<CommandResult>;
  /** `docker compose` on this deployment, with the settings of `.env.pf` and nothing else out of the shell. */
  compose(
    args: readonly string[],
    options?: { timeoutMs?: number; onOutput?: (text: string) => void; input?: string },
  ): Promise<CommandResult>;
}

interface Options {
  /** The folder of the compose file. */
  readonly directory: string;
  readonly project: string;
  /** The environment of this program: how to reach the engine. */
  readonly environment: NodeJS.ProcessEnv;
  /** Values of `.env.pf`. */
  readonly values: ReadonlyMap<string, string>;
  readonly commit: string;
}

export function openDocker({ directory, project, environment, values, commit }: Options): Docker {
  const base = forDocker(environment);
  const composeEnvironment = { ...base, ...settingsForCompose(values), NEXUS_COMMIT: commit };
  return {
    docker: (args, options) => runCommand("docker", args, { cwd: directory, env: base, ...options }),
    compose: (args, options) =>
      runCommand("docker", ["compose", "-f", composeFile, "-p", project, "--ansi", "never", ...args], {
        cwd: directory,
        env: composeEnvironment,
        ...options,
      }),
  };
}

/** A `PORT` in the operator's shell would win over the file; only what the client needs to find its engine passes. */
const passed =
  /^(?:PATH|HOME|USER|LANG|TERM|TMPDIR|SSH_AUTH_SOCK|XDG_.*|DOCKER_.*|BUILDKIT_.*|BUILDX_.*|https?_proxy|no_proxy|SSL_CERT_.*)$/i;

function forDocker(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => passed.test(name)));
}
