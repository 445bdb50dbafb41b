import type { Clock } from "@nexus/core";
import type { Db } from "@nexus/db";
import { databaseSource } from "./database-source.ts";
import type { KeySource } from "./key-source.ts";
import type { Peppers } from "./peppers.ts";
import { pvKeysSource } from "./pv-keys-source.ts";
import { twoSources } from "./two-sources.ts";

interface Options {
  /** `http://host:port` of pv-keys' private listener. */
  url: string;
  serviceToken: string;
  /** `undefined`: keys that are not known cannot be decided about while pv-keys is away. */
  peppers: Peppers | undefined;
  db: Db;
  clock: Clock;
  logger: { warn(fields: object, message: string): void };
}

/** What a service beside pv-keys asks: pv-keys; and PostgreSQL itself while pv-keys is away, where the peppers are at hand. */
export function serviceKeySource({ url, serviceToken, peppers, db, clock, logger }: Options): KeySource {
  const first = pvKeysSource({ url, serviceToken });
  if (!peppers) return first;
  const onAway = (error: unknown): void => logger.warn({ event: "pv_keys_away", err: error }, "pv-keys does not answer");
  return twoSources({ first, second: databaseSource({ db, peppers }), clock, onAway });
}
