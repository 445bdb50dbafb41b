import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { WireAnswer, WireCommand } from "./run-wires.ts";
import type { WireState } from "./wire.ts";

/** A wire between one process and one server; it lies in another process, and does as told within a moment. */
export interface Relay {
  readonly port: number;
  state: WireState;
  /** Milliseconds that every byte travels, each way. */
  delayMs: number;
  /** From now on what the process sends is kept. @returns asks for all of it so far, as text */
  listen(): Promise<() => Promise<string>>;
}

export interface Wires {
  open(targetPort: number): Promise<Relay>;
  stop(): Promise<void>;
}

export function startWires(): Wires {
  const program = fileURLToPath(new URL("run-wires.ts", import.meta.url));
  const child = fork(program, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const waiting: ((answer: WireAnswer) => void)[] = [];
  child.on("message", (answer: WireAnswer) => waiting.shift()?.(answer));
  const tell = (command: WireCommand): Promise<WireAnswer> =>
    new Promise((resolve) => {
      waiting.push(resolve);
      child.send(command);
    });
  let opened = 0;
  return {
    open: async (targetPort) => {
      const id = opened++;
      return relayOf(id, Number(await tell({ id, do: "open", targetPort })), tell);
    },
    stop: async () => {
      const exited = once(child, "exit");
      child.disconnect();
      await exited;
    },
  };
}

function relayOf(id: number, port: number, tell: (command: WireCommand) => Promise<WireAnswer>): Relay {
  let state: WireState = "open";
  let delayMs = 0;
  return {
    port,
    get state() {
      return state;
    },
    set state(next) {
      state = next;
      void tell({ id, do: "state", state });
    },
    get delayMs() {
      return delayMs;
    },
    set delayMs(next) {
      delayMs = next;
      void tell({ id, do: "delay", delayMs });
    },
    listen: async () => {
      await tell({ id, do: "listen" });
      return async () => String(await tell({ id, do: "heard" }));
    },
  };
}
