/** What an operator needs after a failed step, with every secret of the deployment blacked out. */
import { secretFields } from "../env-file/env-fields.ts";
import type { Deployment, StepError } from "./step.ts";

/** State, health and restarts on the first line, then the output of the last probes. */
const healthFormat = [
  "{{.State.Status}}{{with .State.Health}}, {{.Status}}{{end}}, restarted {{.RestartCount}} times",
  "{{with .State.Health}}{{range .Log}}\n{{.Output}}{{end}}{{end}}",
].join("");

export async function explainFailure(deployment: Deployment, error: StepError): Promise<string> {
  const { docker } = deployment;
  const parts: string[] = [];
  if (error.evidence) parts.push(error.evidence.trimEnd());
  for (const service of error.services) {
    const health = await docker.docker(["inspect", "--format", healthFormat, service]);
    if (health.code !== 0 || health.stdout.startsWith("running, healthy")) continue;
    const [state = "", ...probes] = health.stdout.trim().split("\n");
    parts.push([`${service}: ${state}`, ...probes.slice(-2)].join("\n"));
    const logs = await docker.docker(["logs", "--tail", "15", service]);
    if (logs.stdout || logs.stderr) parts.push(indent(`${logs.stdout}${logs.stderr}`.trimEnd()));
  }
  const left = await docker.compose(["ps", "--all", "--format", "{{.Name}}: {{.Status}}"]);
  parts.push(
    left.stdout.trim() ? `What is there now:\n${indent(left.stdout.trimEnd())}` : "No container of this deployment is there.",
  );
  return redact(parts.join("\n"), deployment.values);
}

const indent = (text: string): string => text.replace(/^/gm, "  ");

/** Replaces every secret of `.env.pf`, wherever it turned up. */
function redact(text: string, values: ReadonlyMap<string, string>): string {
  return secretFields
    .flatMap(({ name, core = (value) => value }) => {
      const value = core(values.get(name) ?? "");
      return value ? [{ name, value }] : [];
    })
    .reduce((clean, { name, value }) => clean.replaceAll(value, `[${name}]`), text);
}
