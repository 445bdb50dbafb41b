import { runDbAdmin } from "./run-db-admin.ts";

process.exitCode = await runDbAdmin({
  args: process.argv.slice(2),
  env: process.env,
  stdin: process.stdin,
  print: (line) => process.stdout.write(`${line}\n`),
  complain: (line) => process.stderr.write(`${line}\n`),
});
