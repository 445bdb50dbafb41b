/** Where Redis is, as read from the environment. */
import { type Config, type ConfigSchema, optional, port, secret, text, url } from "@nexus/config";

export interface RedisTarget {
  /** `redis://:password@host:port/0`; holds the password, so it is never logged. */
  readonly url: string;
}

export const redisFields = {
  REDIS_URL: {
    ...optional(
      url({
        doc: "Redis as one URL: redis://:password@host:6379/0 (rediss:// for TLS). Instead of the REDIS_… variables.",
        protocols: ["redis:", "rediss:"],
      }),
    ),
    secret: true,
  },
  REDIS_HOST: optional(text({ doc: "Host name of Redis.", maxLength: 255 })),
  REDIS_PORT: port({ doc: "Port of Redis.", default: 6379 }),
  REDIS_PASSWORD: optional(secret({ doc: "Password of Redis.", minLength: 8 })),
} satisfies ConfigSchema;

type RedisConfig = Config<typeof redisFields>;

/** Faults that concern several of the fields. That neither form is set is a fault only where Redis is required. */
export function redisRules(config: RedisConfig): string[] {
  return config.REDIS_URL !== undefined && config.REDIS_HOST !== undefined
    ? ["REDIS_URL and REDIS_HOST are both set; keep one"]
    : [];
}

/** The Redis that a configuration names, if it names one. */
export function redisTargetFrom(config: RedisConfig): RedisTarget | undefined {
  if (config.REDIS_URL !== undefined) return { url: config.REDIS_URL };
  if (config.REDIS_HOST === undefined) return undefined;
  const password = config.REDIS_PASSWORD === undefined ? "" : `:${encodeURIComponent(config.REDIS_PASSWORD)}@`;
  return { url: `redis://${password}${config.REDIS_HOST}:${config.REDIS_PORT}/0` };
}
