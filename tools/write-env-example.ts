/** Writes `.env.pf.example` from the table of names; with `--check` it says whether the file agrees. */
import { readFileSync, writeFileSync } from "node:fs";
import { renderExample } from "../apps/cli/src/env-file/render-env-file.ts";

const path = ".env.pf.example";
const text = renderExample();
if (!process.argv.includes("--check")) writeFileSync(path, text);
else if (readFileSync(path, "utf8") !== text) {
  console.error(`${path} differs from the table in apps/cli/src/env-file/env-fields.ts; run npm run build`);
  process.exitCode = 1;
}
