import { loadConfig } from "@nexus/config";
import { connectionFrom, databaseRules } from "@nexus/db";
import { auditedFields } from "./config.ts";
import { type DeployReport, readDeployReport } from "./deploy-report.ts";
import { actor, withOwner } from "./open-owner.ts";
import type { Program } from "./run-db-admin.ts";

const longestInput = 64 * 1024;

/** Writes `deploy.completed` or `deploy.failed`; prints one line of JSON. */
export async function recordDeploy(program: Program): Promise<void> {
  const config = loadConfig(auditedFields, program.env, databaseRules);
  const report = readDeployReport(await readAll(program.stdin));
  await withOwner(connectionFrom(config), config.NEXUS_AUDIT_KEY, ({ db, audit }) =>
    audit.write(db, {
      action: report.result === "completed" ? "deploy.completed" : "deploy.failed",
      outcome: report.result === "completed" ? "success" : "failure",
      actor,
      targets: [{ kind: "release", id: report.version }],
      context: {},
      details: detailsOf(report),
    }),
  );
  program.print(JSON.stringify({ recorded: `deploy.${report.result}`, version: report.version }));
}

function detailsOf(report: DeployReport) {
  return {
    version: report.version,
    duration_ms: report.duration_ms,
    result: report.result,
    ...(report.digests ? { digests: report.digests } : {}),
    ...(report.reason === undefined ? {} : { reason: report.reason }),
  };
}

async function readAll(stdin: Program["stdin"]): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk);
    length += bytes.length;
    if (length > longestInput) throw new Error(`the report on stdin is longer than ${longestInput} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8");
}
