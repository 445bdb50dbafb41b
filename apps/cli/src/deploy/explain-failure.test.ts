import { expect, it } from "vitest";
import type { CommandResult } from "../docker/run-command.ts";
import { parseEnvFile } from "../env-file/parse-env-file.ts";
import { renderFresh } from "../env-file/render-env-file.ts";
import { explainFailure } from "./explain-failure.ts";
import { type Deployment, StepError } from "./step.ts";

const values = parseEnvFile(renderFresh()).values;
const secret = values.get("DB_PASSWORD") ?? "";
const pepper = (values.get("NEXUS_KEY_PEPPERS") ?? "").replace(/^1:/, "");

/** An engine whose containers answer as scripted. */
function deploymentOn(answer: (args: readonly string[]) => string): Deployment {
  const run = async (args: readonly string[]): Promise<CommandResult> => ({ code: 0, stdout: answer(args), stderr: "" });
  const docker = { docker: run, compose: run };
  const about = { directory: ".", project: "p", environment: {}, commit: "c", startedAt: 0, note: () => {} };
  return { ...about, docker, values };
}

it("shows health, log and what is left of the services concerned, with every secret blacked out", async () => {
  const deployment = deploymentOn(([command]) => {
    if (command === "inspect") return `restarting, unhealthy\nprobe says ${secret}`;
    if (command === "logs") return `cannot log in with ${secret}, pepper ${pepper}`;
    return "puabo-api: Restarting (1)";
  });
  const text = await explainFailure(deployment, new StepError("no", { evidence: `tried ${secret}`, services: ["puabo-api"] }));
  expect(text).toContain("tried [DB_PASSWORD]");
  expect(text).toContain("cannot log in with [DB_PASSWORD], pepper [NEXUS_KEY_PEPPERS]");
  expect(text).toContain("puabo-api: Restarting (1)");
  expect(text).not.toContain(secret);
  expect(text).not.toContain(pepper);
});

it("does not bury the sick service under the logs of healthy ones", async () => {
  const deployment = deploymentOn(([command]) =>
    command === "inspect" ? "running, healthy" : command === "logs" ? "chatter" : "",
  );
  const text = await explainFailure(deployment, new StepError("no", { services: ["puabo-api"] }));
  expect(text).not.toContain("chatter");
  expect(text).toContain("No container of this deployment is there.");
});
