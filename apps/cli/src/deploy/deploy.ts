import { openDocker } from "../docker/open-docker.ts";
import { runCommand } from "../docker/run-command.ts";
import { readEnvValues } from "../env-file/read-env-values.ts";
import { recordDeploy } from "./db-admin.ts";
import { takeDeployLock } from "./deploy-lock.ts";
import { explainFailure } from "./explain-failure.ts";
import { prepareSteps } from "./prepare-steps.ts";
import { startSteps } from "./start-steps.ts";
import { type Deployment, type Step, StepError } from "./step.ts";
import { verifySteps } from "./verify-steps.ts";

export const deploySteps: readonly Step[] = [...prepareSteps, ...startSteps, ...verifySteps];

export interface DeployOptions {
  readonly directory: string;
  readonly project: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly self: { pid: number; isAlive: (pid: number) => boolean };
  /** Shows progress. */
  readonly print: (line: string) => void;
}

export interface DeployReport {
  readonly ok: boolean;
  readonly commit: string;
  readonly seconds: number;
  readonly steps: { name: string; ok: boolean; seconds: number; evidence: string }[];
  /** Why and in what state it stopped; secrets are blacked out. */
  readonly failure?: { step: string; message: string; detail: string };
}

/** Brings the deployment up, or to the present state of the folder; safe to run again at any time. */
export async function deploy(options: DeployOptions): Promise<DeployReport> {
  const release = takeDeployLock(options.directory, options.self);
  try {
    return await runSteps(await openDeployment(options), options.print);
  } finally {
    release();
  }
}

async function openDeployment({ directory, project, environment, print }: DeployOptions): Promise<Deployment> {
  const { code, stdout } = await runCommand("git", ["rev-parse", "--short=12", "HEAD"], { cwd: directory, env: environment });
  const commit = code === 0 ? stdout.trim() : environment["NEXUS_COMMIT"] || "unknown";
  const values = readEnvValues(directory);
  const docker = openDocker({ directory, project, environment, values, commit });
  return {
    directory,
    project,
    environment,
    commit,
    values,
    docker,
    startedAt: Date.now(),
    note: (line) => print(`        ${line}`),
  };
}

async function runSteps(deployment: Deployment, print: (line: string) => void): Promise<DeployReport> {
  const { commit, startedAt } = deployment;
  const steps: DeployReport["steps"] = [];
  const report = (): Omit<DeployReport, "ok"> => ({ commit, seconds: secondsSince(startedAt), steps });
  for (const [index, step] of deploySteps.entries()) {
    const place = `[${String(index + 1).padStart(2)}/${deploySteps.length}]`;
    print(`${place} ${step.title} …`);
    const stepStart = Date.now();
    try {
      const evidence = await step.run(deployment);
      steps.push({ name: step.name, ok: true, seconds: secondsSince(stepStart), evidence });
      print(`        ok, ${secondsSince(stepStart)} s: ${evidence}`);
    } catch (error) {
      const known = error instanceof StepError ? error : new StepError(String(error), { cause: error });
      const detail = await explainFailure(deployment, known);
      steps.push({ name: step.name, ok: false, seconds: secondsSince(stepStart), evidence: known.message });
      await recordFailure(deployment, step, known);
      print(`        FAILED, ${secondsSince(stepStart)} s: ${known.message}`);
      return { ok: false, ...report(), failure: { step: step.name, message: known.message, detail } };
    }
  }
  return { ok: true, ...report() };
}

/** As far as the database can be reached at all; a failure to tell of a failure changes nothing. */
async function recordFailure(deployment: Deployment, step: Step, error: StepError): Promise<void> {
  if (prepareSteps.includes(step)) return;
  const { commit: version, startedAt } = deployment;
  const reason = `${step.name}: ${error.message}`;
  await recordDeploy(deployment, { result: "failed", version, duration_ms: Date.now() - startedAt, reason }).catch(() => {});
}

const secondsSince = (startMs: number): number => Math.round((Date.now() - startMs) / 100) / 10;
