import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnvFile } from "./parse-env-file.ts";

export const envFileName = ".env.pf";

/** Values of the folder's `.env.pf`; none before the first deployment. */
export function readEnvValues(directory: string): ReadonlyMap<string, string> {
  try {
    return parseEnvFile(readFileSync(join(directory, envFileName), "utf8")).values;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Map();
    throw error;
  }
}
