/** The one-shot program that acts as the owner of the schema, run in a container of its own beside the database. */
import { migrations } from "./start-steps.ts";
import { type Deployment, StepError } from "./step.ts";

interface JourneyUser {
  readonly email: string;
  readonly password: string;
}

export interface DeployRecord {
  readonly result: "completed" | "failed";
  readonly version: string;
  readonly duration_ms: number;
  readonly digests?: Record<string, string>;
  readonly reason?: string;
}

/** An administrator for the moment: the journey reads the audit log too. */
export async function createJourneyUser(deployment: Deployment): Promise<JourneyUser> {
  const output = await runDbAdmin(deployment, ["journey-user", "create", "--role", "admin"]);
  const line = output
    .trim()
    .split("\n")
    .findLast((text) => text.startsWith("{"));
  const { email, password } = JSON.parse(line ?? "{}") as Partial<JourneyUser>;
  if (!email || !password) throw new StepError("db-admin made no user for the journey");
  return { email, password };
}

/** Removes the person with everything of theirs; the audit entries stay. */
export async function removeJourneyUser(deployment: Deployment, email: string): Promise<void> {
  await runDbAdmin(deployment, ["journey-user", "remove", "--email", email]);
}

export async function recordDeploy(deployment: Deployment, record: DeployRecord): Promise<void> {
  await runDbAdmin(deployment, ["record-deploy"], JSON.stringify(record));
}

async function runDbAdmin({ docker }: Deployment, args: readonly string[], input = ""): Promise<string> {
  const { code, stdout, stderr } = await docker.compose(["run", "--rm", "-T", "--no-deps", migrations, ...args], { input });
  if (code !== 0) throw new StepError(`db-admin ${args[0]} ended with ${code}`, { evidence: stdout + stderr });
  return stdout;
}
