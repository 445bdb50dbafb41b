/** Where Redis is, as read from the environment. */
import { type Config, type ConfigSchema, type Field, optional, port, secret, text } from "@nexus/config";

export interface RedisTarget {
  /** `redis://:password@host:port/0`, `rediss://` for TLS; holds the password, so it is never logged. */
  readonly url: string;
}

/** A URL with a password in it: a secret, so that it may come from a file and is never printed. */
const redisUrl: Field<string | undefined> = {
  doc: "Redis as one URL: redis://:password@host:6379/0 (rediss:// for TLS). Instead of the other REDIS_… variables.",
  fallback: { value: undefined, shown: "—" },
  secret: true,
  parse: parseRedisUrl,
};

export const redisFields = {
  REDIS_URL: redisUrl,
  REDIS_HOST: optional(text({ doc: "Host name of Redis.", maxLength: 255, pattern: /^[\w.:-]+$/ })),
  REDIS_PORT: port({ doc: "Port of Redis.", default: 6379 }),
  REDIS_PASSWORD: optional(secret({ doc: "Password of Redis.", minLength: 8 })),
} satisfies ConfigSchema;

type RedisConfig = Config<typeof redisFields>;

/** Faults that concern several of the fields. That neither form is set is a fault only where Redis is required. */
export function redisRules(config: RedisConfig): string[] {
  if (config.REDIS_URL === undefined) return [];
  const faults: string[] = [];
  if (config.REDIS_HOST !== undefined) faults.push("REDIS_URL and REDIS_HOST are both set; keep one");
  if (config.REDIS_PASSWORD !== undefined)
    faults.push("REDIS_URL and REDIS_PASSWORD are both set; put the password into the URL");
  return faults;
}

/** The Redis that a configuration names, if it names one. */
export function redisTargetFrom(config: RedisConfig): RedisTarget | undefined {
  if (config.REDIS_URL !== undefined) return { url: config.REDIS_URL };
  if (config.REDIS_HOST === undefined) return undefined;
  const password = config.REDIS_PASSWORD === undefined ? "" : `:${encodeURIComponent(config.REDIS_PASSWORD)}@`;
  const host = config.REDIS_HOST.includes(":") ? `[${config.REDIS_HOST}]` : config.REDIS_HOST;
  return { url: `redis://${password}${host}:${config.REDIS_PORT}/0` };
}

function parseRedisUrl(value: string): string {
  const parsed = URL.parse(value);
  if (!parsed || !["redis:", "rediss:"].includes(parsed.protocol) || parsed.hostname === "") {
    throw new Error("must be a URL starting with redis:// or rediss:// and naming a host");
  }
  if (!/^\/?\d*$/.test(parsed.pathname)) throw new Error("may have nothing but a database number as its path");
  // What the client would take for options of its own would pass every check here.
  if (parsed.search !== "" || parsed.hash !== "") throw new Error("must have no query and no fragment");
  return value;
}
