/** The wires of a fleet, in a process of their own: a busy test must not look like a slow server to those who use them. */
import { Wire, type WireState } from "./wire.ts";

export type WireCommand =
  | { id: number; do: "open"; targetPort: number }
  | { id: number; do: "state"; state: WireState }
  | { id: number; do: "delay"; delayMs: number }
  | { id: number; do: "listen" }
  | { id: number; do: "heard" };

/** One for every command, in the order of the commands. */
export type WireAnswer = number | string | null;

const wires = new Map<number, Wire>();

async function obey(command: WireCommand): Promise<WireAnswer> {
  if (command.do === "open") {
    const opened = new Wire(command.targetPort);
    await opened.start();
    wires.set(command.id, opened);
    return opened.port;
  }
  const wire = wires.get(command.id);
  if (!wire) throw new Error(`there is no wire ${command.id}`);
  if (command.do === "state") wire.state = command.state;
  if (command.do === "delay") wire.delayMs = command.delayMs;
  if (command.do === "listen") wire.listen();
  return command.do === "heard" ? wire.heard() : null;
}

let last = Promise.resolve();
process.on("message", (command: WireCommand) => {
  last = last.then(async () => void process.send?.(await obey(command)));
});
// Whoever started us is gone.
process.once("disconnect", () => process.exit(0));
