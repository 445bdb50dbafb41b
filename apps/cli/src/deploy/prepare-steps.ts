/** Everything before the first container: settings, checks, secrets, images. */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDocker } from "../docker/open-docker.ts";
import { envFileName, readEnvValues } from "../env-file/read-env-values.ts";
import { addLaterSecrets, renderFresh } from "../env-file/render-env-file.ts";
import { secretsGroup, writeSecretFiles } from "../env-file/secret-files.ts";
import { gatherFacts } from "../preflight/gather-facts.ts";
import { renderReport } from "../preflight/render-report.ts";
import { runPreflight, selectChecks } from "../preflight/run-preflight.ts";
import { type Deployment, type Step, StepError } from "./step.ts";

export const prepareSteps: readonly Step[] = [
  { name: "validate", title: "Validate the machine and the configuration", run: validate },
  { name: "settings", title: "Settings and secrets", run: prepareSettings },
  { name: "build", title: "Build the images", run: build },
];

async function validate(deployment: Deployment): Promise<string> {
  const report = runPreflight(await gatherFacts(deployment), selectChecks({}));
  if (report.go) return `GO, score ${report.score}`;
  const failed = report.results.filter(({ state }) => state === "fail");
  throw new StepError("the pre-flight says no-go", { evidence: renderReport({ ...report, results: failed }) });
}

/** The first deployment makes `.env.pf`; later ones keep it, and add what a newer release needs. */
async function prepareSettings(deployment: Deployment): Promise<string> {
  const { directory, environment, project, commit } = deployment;
  const path = join(directory, envFileName);
  const isFirst = !existsSync(path);
  const text = isFirst ? renderFresh() : addLaterSecrets(readFileSync(path, "utf8"));
  if (text !== undefined) {
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }
  deployment.values = readEnvValues(directory);
  deployment.docker = openDocker({ directory, project, environment, values: deployment.values, commit });
  if (!writeSecretFiles(join(directory, "secrets"), deployment.values)) await giveSecretsToGroup(deployment);
  if (isFirst) return "made .env.pf with fresh secrets; keep a copy of it in a safe place";
  return text === undefined ? "kept .env.pf" : "added new secrets to .env.pf; keep a new copy of it in a safe place";
}

/** An ordinary user may not give files to a group that is not theirs; a container of the engine may. */
async function giveSecretsToGroup({ docker, directory }: Deployment): Promise<void> {
  const mount = `${join(directory, "secrets")}:/secrets`;
  const script = `chgrp ${secretsGroup} /secrets/* && chmod 0440 /secrets/*`;
  const args = ["run", "--rm", "--network", "none", "-v", mount, "--entrypoint", "sh", "node:24-alpine", "-c", script];
  const { code, stderr } = await docker.docker(args, { timeoutMs: 300_000 });
  if (code !== 0) throw new StepError("the secret files could not be given to the applications' group", { evidence: stderr });
}

async function build({ docker, commit }: Deployment): Promise<string> {
  const { code, stdout, stderr } = await docker.compose(["build"], { timeoutMs: 30 * 60_000 });
  if (code !== 0) throw new StepError("the images could not be built", { evidence: tail(stdout + stderr, 40) });
  return `from commit ${commit}`;
}

const tail = (text: string, lines: number): string => text.trimEnd().split("\n").slice(-lines).join("\n");
