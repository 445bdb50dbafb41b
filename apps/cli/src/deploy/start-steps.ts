/** Containers, in the order of the architecture: data, migrations, applications. */
import { applications } from "../preflight/compose-checks.ts";
import { type Deployment, type Step, StepError } from "./step.ts";

export const dataServices = ["nexus-cos-postgres", "nexus-cos-redis"];
export const migrations = "nexus-cos-migrations";
export const applicationNames = Object.keys(applications);

export const startSteps: readonly Step[] = [
  {
    name: "data",
    title: "PostgreSQL and Redis, until both are healthy",
    run: (deployment) => startAndWait(deployment, dataServices),
  },
  { name: "migrate", title: "Migrations, once", run: migrate },
  {
    name: "services",
    title: "The three applications, until all are healthy",
    run: (deployment) => startAndWait(deployment, applicationNames),
  },
];

/** `--wait` is satisfied by health alone: a container that crashes and comes back is not healthy meanwhile. */
async function startAndWait({ docker }: Deployment, services: readonly string[]): Promise<string> {
  const args = ["up", "-d", "--no-deps", "--no-build", "--wait", "--wait-timeout", "180", ...services];
  const { code, stderr } = await docker.compose(args, { timeoutMs: 10 * 60_000 });
  if (code === 0) return services.join(", ");
  throw new StepError(`${services.join(", ")} did not become healthy`, { evidence: lastLines(stderr), services });
}

async function migrate({ docker }: Deployment): Promise<string> {
  const up = await docker.compose(["up", "-d", "--no-deps", "--no-build", "--force-recreate", migrations]);
  if (up.code !== 0)
    throw new StepError("migrations could not be started", { evidence: lastLines(up.stderr), services: [migrations] });
  const wait = await docker.docker(["wait", migrations], { timeoutMs: 30 * 60_000 });
  const status = wait.stdout.trim();
  if (status !== "0")
    throw new StepError(`migrations ended with ${status || "no status"}`, { evidence: wait.stderr, services: [migrations] });
  return "the schema is up to date";
}

const lastLines = (text: string): string => text.trimEnd().split("\n").slice(-10).join("\n");
