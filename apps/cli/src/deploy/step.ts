import type { Docker } from "../docker/open-docker.ts";

/** What the steps of a deployment share. */
export interface Deployment {
  /** The folder of docker-compose.pf.yml, .env.pf and ./secrets. */
  readonly directory: string;
  readonly project: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Commit of the checkout, `unknown` outside git. */
  readonly commit: string;
  /** Values of `.env.pf`; filled by the first step. */
  values: ReadonlyMap<string, string>;
  docker: Docker;
  /** Shows a line of detail under the running step. */
  readonly note: (line: string) => void;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
}

export interface Step {
  readonly name: string;
  /** What it does, as a person would say it. */
  readonly title: string;
  /** @returns one line of evidence; @throws StepError */
  readonly run: (deployment: Deployment) => Promise<string>;
}

/** Why a step failed: one sentence, and what was seen last. */
export class StepError extends Error {
  readonly evidence: string;
  /** Services whose health and logs explain the failure. */
  readonly services: readonly string[];

  constructor(message: string, options: { evidence?: string; services?: readonly string[]; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "StepError";
    this.evidence = options.evidence ?? "";
    this.services = options.services ?? [];
  }
}
