import { openDocker } from "../docker/open-docker.ts";
import { readEnvValues } from "../env-file/read-env-values.ts";
import { preflightCommand } from "../preflight/preflight-command.ts";
import { type DeployOptions, deploy, deploySteps, type DeployReport } from "./deploy.ts";

export interface DeployCommandOptions extends Omit<DeployOptions, "print"> {
  /** Writes text as it is; lines bring their own end. */
  readonly print: (text: string) => void;
  readonly plan?: boolean;
  readonly down?: boolean;
  readonly json?: boolean;
}

/** @returns the exit code */
export async function deployCommand(options: DeployCommandOptions): Promise<number> {
  if (options.plan) return showPlan(options);
  if (options.down) return takeDown(options);
  const { print, json } = options;
  const report = await deploy({ ...options, print: json ? () => {} : (line) => print(`${line}\n`) });
  print(json ? `${JSON.stringify(report, null, 2)}\n` : renderEnd(report));
  return report.ok ? 0 : 1;
}

function renderEnd({ ok, seconds, failure, commit }: DeployReport): string {
  if (ok) return `\nDeployed ${commit} in ${seconds} s. Follow the logs with: docker compose -f docker-compose.pf.yml logs -f\n`;
  return `\nThe deployment failed at "${failure?.step}": ${failure?.message}\n${failure?.detail ?? ""}\n`;
}

async function showPlan(options: DeployCommandOptions): Promise<number> {
  options.print(`${deploySteps.map(({ title }, index) => `${String(index + 1).padStart(2)}. ${title}`).join("\n")}\n\n`);
  return preflightCommand({ ...options, format: "text" });
}

async function takeDown({ directory, project, environment, print }: DeployCommandOptions): Promise<number> {
  const docker = openDocker({ directory, project, environment, values: readEnvValues(directory), commit: "unknown" });
  const { code, stderr } = await docker.compose(["down", "--remove-orphans"], { timeoutMs: 5 * 60_000 });
  print(code === 0 ? "The containers are gone; volumes, .env.pf and ./secrets stay.\n" : stderr);
  return code === 0 ? 0 : 1;
}
