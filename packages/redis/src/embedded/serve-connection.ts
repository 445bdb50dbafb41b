import type { Socket } from "node:net";
import { findCommand } from "./command-table.ts";
import type { Client, Command, ServerState } from "./command.ts";
import { CommandError, encodeReply, type Reply } from "./reply.ts";
import { ProtocolError, RequestParser, type RequestLimits } from "./request-parser.ts";
import { runCommand } from "./run-command.ts";

export interface ConnectionLimits {
  /** Of one command. */
  request: RequestLimits;
  /** Bytes of replies that a client leaves unread; beyond it the connection is cut. */
  unreadBytes: number;
  /** Milliseconds to show the password. */
  authenticateWithinMs: number;
}

/** Whoever has not shown the password needs no more than this. */
const strangersLimits: RequestLimits = { arguments: 10, bytes: 16_384 };
/** Unread replies from which on no further command is read. */
const pauseAtBytes = 1_048_576;

/** Speaks with one client until it leaves. Nothing that it sends can throw beyond here. */
export function serveConnection(socket: Socket, id: number, state: ServerState, limits: ConnectionLimits): void {
  let unsent = "";
  let isEnding = false;
  const write = (): void => {
    if (unsent !== "" && socket.writable) socket.write(unsent, "latin1");
    unsent = "";
    if (isEnding) socket.end();
    else if (socket.writableLength > limits.unreadBytes) socket.destroy();
    else if (socket.writableLength > pauseAtBytes) socket.pause();
  };
  const client: Client = {
    id,
    name: "",
    authenticated: false,
    transaction: undefined,
    channels: new Set(),
    push: (reply) => {
      unsent += encodeReply(reply);
      if (!isHandling) write();
    },
    end: () => (isEnding = true),
  };
  let isHandling = false;
  const parser = new RequestParser(() => (client.authenticated ? limits.request : strangersLimits));

  socket.setNoDelay(true);
  const stranger = setTimeout(() => client.authenticated || socket.destroy(), limits.authenticateWithinMs).unref();
  socket.on("drain", () => socket.resume());
  // The end of a connection is told by "close".
  socket.on("error", () => {});
  socket.on("close", () => {
    clearTimeout(stranger);
    state.pubSub.leave(client);
  });
  socket.on("data", (chunk: Buffer) => {
    if (isEnding) return;
    isHandling = true;
    try {
      parser.push(chunk, (command) => {
        if (isEnding) return;
        // First the command, which may push replies of its own.
        const reply = encodeReply(handle(state, client, command));
        unsent += reply;
      });
    } catch (error) {
      unsent += encodeReply({ err: error instanceof ProtocolError ? error.message : "ERR internal error" });
      isEnding = true;
    }
    isHandling = false;
    write();
  });
}

function handle(state: ServerState, client: Client, [name = "", ...args]: readonly string[]): Reply {
  state.data.tick();
  const found = admit(client, name, args);
  if ("err" in found) {
    if (client.transaction) client.transaction.failed = true;
    return found;
  }
  if (!client.transaction || found.immediate) return runCommand(state, found, args, client);
  if (client.transaction.commands.length >= mostQueued) {
    client.transaction.failed = true;
    return { err: "ERR too many commands in one transaction" };
  }
  client.transaction.commands.push({ command: found, args });
  return { ok: "QUEUED" };
}

/** A transaction is held in memory until EXEC. */
const mostQueued = 10_000;

function admit(client: Client, name: string, args: readonly string[]): Command | { err: string } {
  let command: Command;
  try {
    command = findCommand(name, args);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { err: client.authenticated ? error.message : noAuth };
  }
  if (!client.authenticated && !command.open) return { err: noAuth };
  if (client.channels.size > 0 && !command.whileSubscribed) {
    const allowed = "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
    return { err: `ERR Can't execute '${command.name}': ${allowed}` };
  }
  return command;
}

const noAuth = "NOAUTH Authentication required.";
