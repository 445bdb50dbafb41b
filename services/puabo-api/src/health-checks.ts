import type { Database } from "@nexus/db";
import type { HealthCheck } from "@nexus/http";
import type { Cache } from "@nexus/redis";

/** Without PostgreSQL nobody can be signed in; without Redis everything works, slower. */
export function healthChecks(deps: { database: Database; cache: Cache }): HealthCheck[] {
  return [
    { name: "postgresql:connection", critical: true, probe: (signal) => deps.database.ping(signal) },
    { name: "redis:connection", critical: false, probe: (signal) => deps.cache.ping(signal) },
  ];
}
