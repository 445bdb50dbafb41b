import type { Client, Command, ServerState } from "./command.ts";
import { CommandError, type Reply } from "./reply.ts";

/** Runs a command whose arguments were counted. Never throws for what a client sent: a failure is an error reply. */
export function runCommand(state: ServerState, command: Command, args: readonly string[], client?: Client): Reply {
  try {
    if (command.grows) state.data.ensureRoom();
    return command.run(state, args, client);
  } catch (error) {
    if (error instanceof CommandError) return { err: error.message };
    throw error;
  }
}
