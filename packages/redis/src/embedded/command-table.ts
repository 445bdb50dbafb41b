import type { Command } from "./command.ts";
import { connectionCommands } from "./commands/connection-commands.ts";
import { hashCommands } from "./commands/hash-commands.ts";
import { keyCommands } from "./commands/key-commands.ts";
import { pubSubCommands } from "./commands/pub-sub-commands.ts";
import { scriptCommands } from "./commands/script-commands.ts";
import { setCommands } from "./commands/set-commands.ts";
import { sortedSetCommands } from "./commands/sorted-set-commands.ts";
import { stringCommands } from "./commands/string-commands.ts";
import { transactionCommands } from "./commands/transaction-commands.ts";
import { CommandError } from "./reply.ts";

const table: ReadonlyMap<string, Command> = new Map(
  [
    ...connectionCommands,
    ...hashCommands,
    ...keyCommands,
    ...pubSubCommands,
    ...scriptCommands,
    ...setCommands,
    ...sortedSetCommands,
    ...stringCommands,
    ...transactionCommands,
  ].map((command) => [command.name, command]),
);

/** @throws CommandError when there is no such command or it takes another number of arguments */
export function findCommand(name: string, args: readonly string[]): Command {
  const command = table.get(name.toLowerCase());
  if (!command) {
    const shown = args.map((arg) => `'${arg.slice(0, 128)}' `).join("");
    throw new CommandError(`ERR unknown command '${name.slice(0, 128)}', with args beginning with: ${shown.slice(0, 128)}`);
  }
  const [least, most] = command.takes;
  if (args.length < least || args.length > most) {
    throw new CommandError(`ERR wrong number of arguments for '${command.name}' command`);
  }
  return command;
}
