import { assert } from "@nexus/core";
import { any, type Command, type ServerState, type Client } from "../command.ts";
import { CommandError, type Reply } from "../reply.ts";

export const pubSubCommands: readonly Command[] = [
  { name: "publish", takes: [2, 2], run: ({ pubSub }, [channel = "", message = ""]) => pubSub.publish(channel, message) },
  { name: "pubsub", takes: [1, any], run: countSubscribers },
  { name: "subscribe", takes: [1, any], topLevel: true, whileSubscribed: true, run: subscribe },
  { name: "unsubscribe", takes: [0, any], topLevel: true, whileSubscribed: true, run: unsubscribe },
];

/** Of PUBSUB's questions the one that this product asks: who listens to which channel. */
function countSubscribers({ pubSub }: ServerState, [question = "", ...channels]: readonly string[]): Reply {
  if (question.toLowerCase() !== "numsub")
    throw new CommandError(`ERR unknown subcommand '${question.slice(0, 128)}'. Try PUBSUB HELP.`);
  return channels.flatMap((channel) => [channel, pubSub.count(channel)]);
}

/** One reply a channel: all but the last are pushed, the last is the command's own. */
function inTurn(client: Client, replies: readonly Reply[]): Reply {
  for (const reply of replies.slice(0, -1)) client.push(reply);
  return replies.at(-1) ?? null;
}

function subscribe({ pubSub }: ServerState, channels: readonly string[], client: Client | undefined): Reply {
  assert(client, "a script cannot subscribe");
  const replies = channels.map((channel) => {
    pubSub.subscribe(client, channel);
    return ["subscribe", channel, client.channels.size];
  });
  return inTurn(client, replies);
}

function unsubscribe({ pubSub }: ServerState, named: readonly string[], client: Client | undefined): Reply {
  assert(client, "a script cannot subscribe");
  const channels = named.length > 0 ? named : [...client.channels];
  if (channels.length === 0) return ["unsubscribe", null, 0];
  const replies = channels.map((channel) => {
    pubSub.unsubscribe(client, channel);
    return ["unsubscribe", channel, client.channels.size];
  });
  return inTurn(client, replies);
}
