/** Fills the memory of a key checker of its own with keys; told over IPC how many, and says what they took. */
import { randomBytes } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { systemClock } from "@nexus/core";
import { openDatabase } from "@nexus/db";
import { openVerifier } from "@nexus/key-check";
import { someKey } from "../platform/some-key.ts";
import type { FillJob, FillReport } from "./fill-job.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

process.once("message", (job: FillJob) => void fill(job).then((report) => process.send?.(report)));
process.on("disconnect", () => process.exit(0));

async function fill({ connection, keys }: FillJob): Promise<FillReport> {
  const database = openDatabase(connection, { applicationName: "bench" });
  const verifier = openVerifier({
    connection,
    db: database.db,
    redis: undefined,
    source: {
      find: (_digest, minRev) => {
        // Read from text, as it comes from pv-keys: no two keys share a string.
        const record = JSON.parse(JSON.stringify(someKey())) as ReturnType<typeof someKey>;
        return Promise.resolve({ record, generation: verifier.feed.position().generation ?? "", asOf: minRev });
      },
      close: () => Promise.resolve(),
    },
    clock: systemClock,
    logger: { info: () => {}, warn: () => {} },
    service: "bench",
    port: 0,
    blindSeconds: 60,
    maxEntries: keys,
  });
  await verifier.start();
  const before = measure();
  for (let asked = 0; verifier.checker.sizes().known < keys; asked++) {
    if (asked === 10 * keys) throw new Error("the checker keeps no keys");
    await verifier.checker.lookUp(randomBytes(32), 0);
    // The lease is renewed meanwhile: a process without one keeps nothing.
    if (asked % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const after = measure();
  await verifier.close();
  await database.close();
  return { rssBytes: after.rss - before.rss, heapBytes: after.heapUsed - before.heapUsed };
}

function measure(): NodeJS.MemoryUsage {
  collectGarbage();
  return process.memoryUsage();
}
