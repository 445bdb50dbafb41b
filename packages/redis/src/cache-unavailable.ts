/** Redis is away, hung, full or refuses us: the caller goes on without it. A command that timed out may still have run. */
export class CacheUnavailable extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "CacheUnavailable";
  }
}

/** Error replies about the state of the server rather than about the command. */
const serverStates = /^(NOAUTH|WRONGPASS|NOPERM|LOADING|MASTERDOWN|READONLY|OOM|MISCONF|BUSY|TRYAGAIN|CLUSTERDOWN|MAXCLIENTS)\b/;

/** What a command failed with, as callers see it: an error reply about the command itself stays what it is. */
export function asCacheError(error: Error): Error {
  if (error instanceof CacheUnavailable) return error;
  withoutArguments(error);
  const isAboutTheCommand = error.name === "ReplyError" && !serverStates.test(error.message);
  return isAboutTheCommand ? error : new CacheUnavailable(error.message, { cause: error });
}

/** True when Redis knows us but does not let us in. */
export function isRefusal(error: Error): boolean {
  return /^(NOAUTH|WRONGPASS|NOPERM)\b/.test(error.message);
}

/** ioredis hangs the arguments of the command on its errors, and those of AUTH are the password: no log may see them. */
export function withoutArguments(error: Error): Error {
  delete (error as { command?: unknown }).command;
  return error;
}
