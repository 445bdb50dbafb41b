/** Asks the shell that a script names in its first line whether it can read it. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { listFiles } from "./boundaries/read-workspaces.ts";

const shebang = /^#!\s*(?:\/usr\/bin\/env\s+|\/bin\/)(bash|sh)\b/;
// Named one by one besides *.sh, so that no file is opened to find out what it is.
const scripts = listFiles(".", ".").filter((file) => file.endsWith(".sh") || file === ".ci/run");
const faults = scripts.flatMap((file) => {
  const shell = shebang.exec(readFileSync(file, "utf8"))?.[1];
  if (!shell) return [`${file}: the first line names neither sh nor bash`];
  const { status, stderr } = spawnSync(shell, ["-n", file], { encoding: "utf8" });
  return status === 0 ? [] : [`${file}: ${stderr.trim()}`];
});
for (const fault of faults) console.error(fault);
console.log(`${scripts.length} files, ${faults.length} faults`);
if (faults.length > 0) process.exitCode = 1;
