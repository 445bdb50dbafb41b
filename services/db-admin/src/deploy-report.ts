/** What a deployment says of itself, as JSON on stdin. */
export interface DeployReport {
  result: "completed" | "failed";
  version: string;
  /** Whole milliseconds from the first step to the last. */
  duration_ms: number;
  /** Image name → digest. */
  digests?: Record<string, string>;
  /** Why it failed, for people. */
  reason?: string;
}

const isText = (value: unknown, longest: number): value is string =>
  typeof value === "string" && value !== "" && value.length <= longest;

const isDigests = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  !Array.isArray(value) &&
  Object.values(value).every((digest) => isText(digest, 300));

const members: Record<keyof DeployReport, { required: boolean; fits: (value: unknown) => boolean; must: string }> = {
  result: { required: true, fits: (v) => v === "completed" || v === "failed", must: "must be completed or failed" },
  version: { required: true, fits: (v) => isText(v, 200), must: "must be a text of 1 to 200 characters" },
  duration_ms: {
    required: true,
    fits: (v) => Number.isSafeInteger(v) && (v as number) >= 0,
    must: "must be a whole number of milliseconds",
  },
  digests: { required: false, fits: isDigests, must: "must be an object of texts" },
  reason: { required: false, fits: (v) => isText(v, 4000), must: "must be a text of 1 to 4000 characters" },
};

/** @throws Error naming every fault of the report at once */
export function readDeployReport(json: string): DeployReport {
  const report = parseObject(json);
  const faults: string[] = [];
  for (const [name, rule] of Object.entries(members)) {
    const value = report[name];
    if (value === undefined ? rule.required : !rule.fits(value)) faults.push(`${name} ${rule.must}`);
  }
  for (const name of Object.keys(report)) if (!(name in members)) faults.push(`${name} is not known`);
  if (faults.length > 0) throw new Error(`the report on stdin has faults: ${faults.join("; ")}`);
  return report as unknown as DeployReport;
}

function parseObject(json: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new Error("the report on stdin is not JSON", { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error("the report on stdin is no JSON object");
  return value as Record<string, unknown>;
}
