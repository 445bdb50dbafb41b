import type { Db } from "@nexus/db";
import { sql } from "kysely";

/** Ids are uuids. An absent filter lets every row through. */
export interface UsageFilter {
  organizationId: string | undefined;
  keyId: string | undefined;
  model: string | undefined;
  from: Date;
  to: Date;
}

/** Newest first, from a position on. */
export async function listUsage(
  db: Db,
  filter: UsageFilter,
  page: { limit: number; after: { createdAt: Date; id: string } | undefined },
) {
  let query = matching(db, filter).selectAll().orderBy("occurred_at", "desc").orderBy("request_id", "desc").limit(page.limit);
  const { after } = page;
  if (after) query = query.where(sql<boolean>`(occurred_at, request_id) < (${after.createdAt}, ${after.id}::uuid)`);
  return await query.execute();
}
export type StoredUsage = Awaited<ReturnType<typeof listUsage>>[number];

/** Over all rows of the filter, not only those of a page. */
export async function sumUsage(db: Db, filter: UsageFilter) {
  const sum = (column: string) => sql<bigint>`coalesce(sum(${sql.ref(column)}), 0)::bigint`;
  return await matching(db, filter)
    .select([
      sql<bigint>`count(*)`.as("requests"),
      sum("input_tokens").as("input_tokens"),
      sum("output_tokens").as("output_tokens"),
      sum("cached_input_tokens").as("cached_input_tokens"),
      sum("cache_write_tokens").as("cache_write_tokens"),
      sum("reasoning_tokens").as("reasoning_tokens"),
      sum("cost_nanos").as("cost_nanos"),
    ])
    .executeTakeFirstOrThrow();
}

function matching(db: Db, filter: UsageFilter) {
  let query = db.selectFrom("usage_events").where("occurred_at", ">=", filter.from).where("occurred_at", "<", filter.to);
  if (filter.organizationId !== undefined) query = query.where("organization_id", "=", filter.organizationId);
  if (filter.keyId !== undefined) query = query.where("key_id", "=", filter.keyId);
  if (filter.model !== undefined) query = query.where("model", "=", filter.model);
  return query;
}
