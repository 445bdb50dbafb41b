/**
 * Replies of the server and how RESP2 writes them (https://redis.io/docs/latest/develop/reference/protocol-spec/).
 * Keys and values are strings with one character a byte (latin1), so that any bytes pass through unchanged.
 */
export interface StatusReply {
  readonly ok: string;
}

export interface ErrorReply {
  /** Begins with its code: `ERR …`, `WRONGTYPE …`. */
  readonly err: string;
}

/** A string is a bulk string, null is nil. */
export type Reply = string | number | bigint | null | StatusReply | ErrorReply | readonly Reply[];

export const ok: StatusReply = { ok: "OK" };

/** What a command fails with; `message` begins with its code. */
export class CommandError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "CommandError";
  }
}

export const wrongType = "WRONGTYPE Operation against a key holding the wrong kind of value";
export const syntaxError = "ERR syntax error";

export function isErrorReply(reply: Reply): reply is ErrorReply {
  return typeof reply === "object" && reply !== null && "err" in reply;
}

export function isStatusReply(reply: Reply): reply is StatusReply {
  return typeof reply === "object" && reply !== null && "ok" in reply;
}

/** To be written as latin1. */
export function encodeReply(reply: Reply): string {
  if (typeof reply === "string") return `$${reply.length}\r\n${reply}\r\n`;
  if (reply === null) return "$-1\r\n";
  if (typeof reply === "number" || typeof reply === "bigint") return `:${reply}\r\n`;
  if (isStatusReply(reply)) return `+${oneLine(reply.ok)}\r\n`;
  if (isErrorReply(reply)) return `-${oneLine(reply.err)}\r\n`;
  return `*${reply.length}\r\n${reply.map(encodeReply).join("")}`;
}

/** A line break in a status or an error would begin another reply. */
function oneLine(text: string): string {
  return text.replaceAll(/[\r\n]/g, " ");
}
