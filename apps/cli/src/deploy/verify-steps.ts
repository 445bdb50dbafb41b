/** What has to be true before a deployment counts: health, tables, one journey, quiet logs, no restart. */
import { settingsForCompose } from "../env-file/compose-settings.ts";
import { createJourneyUser, recordDeploy, removeJourneyUser } from "./db-admin.ts";
import { makeJourney, type Origins, send } from "./journey.ts";
import { applicationNames, dataServices } from "./start-steps.ts";
import { type Deployment, type Step, StepError } from "./step.ts";

const tables = ["users", "sessions", "api_keys", "audit_log"];

export const verifySteps: readonly Step[] = [
  { name: "health", title: "Health of the three applications", run: verifyHealth },
  { name: "tables", title: `The tables ${tables.join(", ")}`, run: verifyTables },
  { name: "journey", title: "One journey: sign-in, key, AI call, usage, revocation", run: verifyJourney },
  { name: "quiet", title: "No restart and no error in the logs", run: verifyQuiet },
  { name: "record", title: "Record the deployment in the audit log", run: record },
];

function originsOf(values: ReadonlyMap<string, string>): Origins {
  const settings = settingsForCompose(values);
  const origin = (name: string): string => `http://127.0.0.1:${settings[name]}`;
  return { api: origin("PORT"), ai: origin("NEXUS_PUABOAI_SDK_PORT"), keys: origin("NEXUS_PV_KEYS_PORT") };
}

async function verifyHealth({ values }: Deployment): Promise<string> {
  for (const origin of Object.values(originsOf(values)) as string[]) {
    const { status, text } = await send(`${origin}/health`);
    if (status !== 200)
      throw new StepError(`${origin}/health answered ${status}`, { evidence: text, services: applicationNames });
  }
  return "all answer 200";
}

async function verifyTables({ docker }: Deployment): Promise<string> {
  const query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'";
  const psql = `PGPASSWORD="$(cat /run/secrets/db_password)" psql -h 127.0.0.1 -U nexus_user -d nexus_db -qAtX -c "${query}"`;
  const { code, stdout, stderr } = await docker.compose(["exec", "-T", "nexus-cos-postgres", "sh", "-c", psql]);
  if (code !== 0) throw new StepError("the tables could not be listed", { evidence: stderr, services: ["nexus-cos-postgres"] });
  const found = stdout.split("\n");
  const missing = tables.filter((name) => !found.includes(name));
  if (missing.length > 0) throw new StepError(`tables are missing: ${missing.join(", ")}`);
  return "all there";
}

/** The user is made for this moment and removed whatever happens; both are in the audit log. */
async function verifyJourney(deployment: Deployment): Promise<string> {
  const user = await createJourneyUser(deployment);
  try {
    const seen = await makeJourney(originsOf(deployment.values), user);
    for (const line of seen) deployment.note(line);
    return "as expected";
  } finally {
    await removeJourneyUser(deployment, user.email);
  }
}

async function verifyQuiet({ docker, startedAt }: Deployment): Promise<string> {
  const services = [...dataServices, ...applicationNames];
  const format = "{{.Name}} {{.RestartCount}} {{.State.StartedAt}}";
  const { stdout } = await docker.docker(["inspect", "--format", format, ...services]);
  const restarted = stdout
    .trim()
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, count = "0", at = ""]) => Number(count) > 0 && Date.parse(at) >= startedAt)
    .map(([name = ""]) => name.replace(/^\//, ""));
  if (restarted.length > 0)
    throw new StepError(`${restarted.join(", ")} restarted during the deployment`, { services: restarted });
  const since = new Date(startedAt).toISOString();
  const logs = await Promise.all(applicationNames.map((name) => docker.docker(["logs", "--since", since, name])));
  const errors = logs.flatMap(({ stdout: out, stderr: err }) => `${out}${err}`.split("\n")).filter(isErrorLine);
  if (errors.length > 0)
    throw new StepError(`the logs hold ${errors.length} errors`, { evidence: errors.slice(0, 10).join("\n") });
  return "none";
}

/** pino writes the level as a number (50 and above is an error) or as its name. */
function isErrorLine(line: string): boolean {
  return /"level":(?:[56]\d|"(?:error|fatal)")/.test(line);
}

async function record(deployment: Deployment): Promise<string> {
  const { commit: version, startedAt } = deployment;
  const digests = await readDigests(deployment);
  await recordDeploy(deployment, { result: "completed", version, duration_ms: Date.now() - startedAt, digests });
  return `as ${version}`;
}

/** Image → the hash of what runs. */
async function readDigests({ docker }: Deployment): Promise<Record<string, string>> {
  const services = [...dataServices, ...applicationNames];
  const { stdout } = await docker.docker(["inspect", "--format", "{{.Config.Image}} {{.Image}}", ...services]);
  return Object.fromEntries(
    stdout
      .trim()
      .split("\n")
      .map((line) => line.split(" "))
      .flatMap(([image, digest]) => (image && digest ? [[image, digest]] : [])),
  );
}
