/** `npm run build`: services run from source, so a build is the type declarations and the generated files. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { generated } from "./generated.ts";

const commands: [string, string[]][] = [
  ["node_modules/.bin/tsc", ["-b"]],
  ...generated.filter(({ script }) => existsSync(script)).map(({ script }): [string, string[]] => ["node", [script]]),
];
for (const [command, args] of commands) {
  const { status } = spawnSync(command, args, { stdio: "inherit" });
  if (status !== 0) {
    process.exitCode = 1;
    break;
  }
}
