/** A wire in the test's own process, for tests of a few calls; a busy test would look like a slow server to those behind it. */
import { Wire } from "./wire.ts";

export type Relay = Wire;

export async function startRelay(targetPort: number): Promise<Relay> {
  const wire = new Wire(targetPort);
  await wire.start();
  return wire;
}
