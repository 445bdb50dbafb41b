import type { Check } from "./check.ts";
import type { Report, Result } from "./run-preflight.ts";

const mark = { pass: "ok  ", skip: "–   ", fail: "FAIL" } as const;

function renderResult(result: Result): string[] {
  const first = `${result.state === "fail" && result.severity === "warning" ? "warn" : mark[result.state]}  ${result.title}`;
  if (result.state === "pass") return [first];
  if (result.state === "skip") return [`${first} (${result.evidence})`];
  return [first, `        ${result.id}: ${result.evidence}`, `        ${result.fix}`];
}

export function renderReport(report: Report): string {
  const failed = report.results.filter(({ state }) => state === "fail");
  const critical = failed.filter(({ severity }) => severity === "critical").length;
  const sum = `${report.results.length} checks, ${critical} failed, ${failed.length - critical} warnings, score ${report.score}`;
  return `${[...report.results.flatMap(renderResult), "", `${report.go ? "GO" : "NO-GO"}: ${sum}`].join("\n")}\n`;
}

export function renderChecks(checks: readonly Check[]): string {
  return checks
    .map(({ id, severity, title, proves }) => `${id.padEnd(34)} ${severity.padEnd(9)} ${title}; proves that ${proves}\n`)
    .join("");
}
