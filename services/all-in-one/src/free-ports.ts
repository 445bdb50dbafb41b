/** Looks before anything is started whether the ports are there to be had. */
import { createServer } from "node:net";

/** The first of the ports that something else listens on. */
export async function firstTakenPort(ports: readonly number[], host: string): Promise<number | undefined> {
  for (const port of ports) {
    if (!(await isFree(port, host))) return port;
  }
  return undefined;
}

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });
}
