/** The load, in a process of its own: raw sockets, so that it costs little beside what it measures. */
import type { LoadJob, LoadReport } from "./load-job.ts";
import { runLoad } from "./run-load.ts";

process.on("message", (job: LoadJob) => {
  runLoad(job).then(
    (report: LoadReport) => process.send?.(report),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => process.exit(0));
