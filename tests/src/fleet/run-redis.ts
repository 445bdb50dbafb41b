/** A Redis in a process tree of its own, so that it can be stopped (SIGSTOP) and killed without stopping the tests. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { startRedis } from "@nexus/redis";

const [directory = "", path = ""] = process.argv.slice(2);
const redis = await startRedis({ directory, path });
process.send?.({ url: redis.target.url, pid: redis.kind === "embedded" ? process.pid : recordedPid() });
// Whoever started us is gone: so are we, and the server with us.
process.once("disconnect", () => void redis.stop().then(() => process.exit(0)));

function recordedPid(): number {
  const [record = ""] = readdirSync(directory).filter((name) => name.startsWith(`redis-${process.pid}-`));
  return (JSON.parse(readFileSync(join(directory, record), "utf8")) as { server: { pid: number } }).server.pid;
}
