import { openDocker } from "../docker/open-docker.ts";
import { readEnvValues } from "../env-file/read-env-values.ts";
import { gatherFacts } from "./gather-facts.ts";
import { renderChecks, renderReport } from "./render-report.ts";
import { runPreflight, type Selection, selectChecks } from "./run-preflight.ts";

/** Exit code that says "no-go", apart from 1, which says that the command itself failed. */
const noGo = 11;

export interface PreflightOptions extends Selection {
  readonly directory: string;
  readonly project: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly print: (text: string) => void;
  readonly format: string;
  readonly listChecks?: boolean;
}

export async function preflightCommand(options: PreflightOptions): Promise<number> {
  const { directory, project, environment, print } = options;
  const checks = selectChecks(options);
  if (options.listChecks) {
    print(renderChecks(checks));
    return 0;
  }
  const docker = openDocker({ directory, project, environment, values: readEnvValues(directory), commit: "unknown" });
  const report = runPreflight(await gatherFacts({ docker, directory, project, environment }), checks);
  print(options.format === "json" ? `${JSON.stringify(report, null, 2)}\n` : renderReport(report));
  return report.go ? 0 : noGo;
}
