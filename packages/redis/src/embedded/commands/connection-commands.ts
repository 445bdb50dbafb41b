import { assert } from "@nexus/core";
import { any, type Client, type Command, type ServerState } from "../command.ts";
import { parseInteger } from "../numbers.ts";
import { CommandError, ok, type Reply, syntaxError } from "../reply.ts";

export const connectionCommands: readonly Command[] = [
  { name: "ping", takes: [0, 1], whileSubscribed: true, run: ping },
  { name: "echo", takes: [1, 1], run: (_state, [message = ""]) => message },
  { name: "quit", takes: [0, any], topLevel: true, open: true, immediate: true, whileSubscribed: true, run: quit },
  { name: "auth", takes: [1, 2], topLevel: true, open: true, run: authenticate },
  { name: "hello", takes: [0, any], topLevel: true, open: true, run: hello },
  { name: "select", takes: [1, 1], run: select },
  { name: "client", takes: [1, any], topLevel: true, run: clientCommand },
  { name: "info", takes: [0, any], run: ({ describe }) => `${describe().join("\r\n")}\r\n` },
  { name: "time", takes: [0, 0], run: time },
];

function ping(_state: ServerState, [message]: readonly string[], client: Client | undefined): Reply {
  if (client && client.channels.size > 0) return ["pong", message ?? ""];
  return message ?? { ok: "PONG" };
}

function quit(_state: ServerState, _args: readonly string[], client: Client | undefined): Reply {
  client?.end();
  return ok;
}

function authenticate({ isPassword }: ServerState, args: readonly string[], client: Client | undefined): Reply {
  assert(client, "a script cannot log in");
  const [user, password] = args.length === 2 ? args : ["default", args[0]];
  if (user !== "default" || !isPassword(password ?? "")) {
    throw new CommandError("WRONGPASS invalid username-password pair or user is disabled.");
  }
  client.authenticated = true;
  return ok;
}

/** RESP2 alone: a client that asks for RESP3 is told so and goes on with RESP2. */
function hello(state: ServerState, [version, ...words]: readonly string[], client: Client | undefined): Reply {
  assert(client, "a script has no connection");
  if (version !== undefined && !/^\d{1,9}$/.test(version)) {
    throw new CommandError("ERR Protocol version is not an integer or out of range");
  }
  if (version !== undefined && version !== "2") throw new CommandError("NOPROTO unsupported protocol version");
  for (let at = 0; at < words.length; at++) {
    const word = words[at]?.toUpperCase();
    if (word === "AUTH" && at + 2 < words.length) {
      authenticate(state, words.slice(at + 1, at + 3), client);
      at += 2;
    } else if (word === "SETNAME" && at + 1 < words.length) {
      client.name = words[at + 1] ?? "";
      at += 1;
    } else throw new CommandError(`ERR Syntax error in HELLO option '${(words[at] ?? "").slice(0, 128)}'`);
  }
  if (!client.authenticated) throw new CommandError(helloWithoutPassword);
  const about = {
    server: "redis",
    version: compatibleVersion,
    proto: 2,
    id: client.id,
    mode: "standalone",
    role: "master",
    modules: [],
  };
  return Object.entries(about).flat();
}

/** The Redis whose answers the contract suite compares with. */
export const compatibleVersion = "7.0.15";

const helloWithoutPassword =
  "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option " +
  "can be used to authenticate the client and select the RESP protocol version at the same time";

function select(_state: ServerState, [index = ""]: readonly string[]): Reply {
  if (parseInteger(index) !== 0n) throw new CommandError("ERR DB index is out of range");
  return ok;
}

function clientCommand(_state: ServerState, [subcommand = "", ...args]: readonly string[], client: Client | undefined): Reply {
  assert(client, "a script has no connection");
  switch (subcommand.toUpperCase()) {
    case "SETNAME":
      client.name = args[0] ?? "";
      return ok;
    case "GETNAME":
      return client.name === "" ? null : client.name;
    case "ID":
      return client.id;
    case "SETINFO":
    case "NO-EVICT":
      return ok;
    default:
      throw new CommandError(syntaxError);
  }
}

function time({ data }: ServerState): Reply {
  const now = data.now;
  const microseconds = Math.floor(now * 1000) % 1_000_000;
  return [String(Math.floor(now / 1000)), String(microseconds)];
}
