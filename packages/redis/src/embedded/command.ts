import type { Keyspace } from "./keyspace.ts";
import type { PubSub, Subscriber } from "./pub-sub.ts";
import type { Reply } from "./reply.ts";

/** What a connection is to the commands that concern it. */
export interface Client extends Subscriber {
  readonly id: number;
  name: string;
  authenticated: boolean;
  /** Queued commands; absent outside MULTI. */
  transaction: { commands: QueuedCommand[]; failed: boolean } | undefined;
  /** Ends the connection when the replies so far are written. */
  end(): void;
}

interface QueuedCommand {
  readonly command: Command;
  readonly args: readonly string[];
}

export interface ScriptEngine {
  /** @throws CommandError when it does not compile */
  load(script: string): string;
  has(sha1: string): boolean;
  flush(): void;
  run(script: { text: string } | { sha1: string }, keys: readonly string[], args: readonly string[]): Reply;
}

export interface ServerState {
  readonly data: Keyspace;
  readonly pubSub: PubSub;
  readonly scripts: ScriptEngine;
  readonly isPassword: (candidate: string) => boolean;
  /** Lines of INFO. */
  readonly describe: () => string[];
}

export interface Command {
  readonly name: string;
  /** Fewest and most arguments, the name not counted. */
  readonly takes: readonly [least: number, most: number];
  /** May take memory: refused when there is none left. */
  readonly grows?: true;
  /** Not inside a script. */
  readonly topLevel?: true;
  /** Carried out inside MULTI instead of being queued. */
  readonly immediate?: true;
  /** Allowed before the password was shown. */
  readonly open?: true;
  /** Allowed while subscribed. */
  readonly whileSubscribed?: true;
  /** `client` is absent inside a script. */
  run(state: ServerState, args: readonly string[], client: Client | undefined): Reply;
}

export const any = Number.POSITIVE_INFINITY;
