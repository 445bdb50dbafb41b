import { assert } from "@nexus/core";
import type { Client, Command, ServerState } from "../command.ts";
import { CommandError, ok, type Reply } from "../reply.ts";
import { runCommand } from "../run-command.ts";

export const transactionCommands: readonly Command[] = [
  { name: "multi", takes: [0, 0], topLevel: true, immediate: true, run: begin },
  { name: "exec", takes: [0, 0], topLevel: true, immediate: true, run: execute },
  { name: "discard", takes: [0, 0], topLevel: true, immediate: true, run: discard },
];

function begin(_state: ServerState, _args: readonly string[], client: Client | undefined): Reply {
  assert(client, "a script has no transaction");
  if (client.transaction) throw new CommandError("ERR MULTI calls can not be nested");
  client.transaction = { commands: [], failed: false };
  return ok;
}

function execute(state: ServerState, _args: readonly string[], client: Client | undefined): Reply {
  assert(client, "a script has no transaction");
  const { transaction } = client;
  if (!transaction) throw new CommandError("ERR EXEC without MULTI");
  client.transaction = undefined;
  if (transaction.failed) throw new CommandError("EXECABORT Transaction discarded because of previous errors.");
  return transaction.commands.map(({ command, args }) => runCommand(state, command, args, client));
}

function discard(_state: ServerState, _args: readonly string[], client: Client | undefined): Reply {
  assert(client, "a script has no transaction");
  if (!client.transaction) throw new CommandError("ERR DISCARD without MULTI");
  client.transaction = undefined;
  return ok;
}
