import type { Db, Tables } from "@nexus/db";
import type { Selectable } from "kysely";

/** `undefined` for who is no member. Ids are uuids. */
export async function findMemberRole(
  db: Db,
  { tenant, userId }: { tenant: string; userId: string },
): Promise<Selectable<Tables["members"]>["role"] | undefined> {
  const row = await db
    .selectFrom("members")
    .select("role")
    .where("organization_id", "=", tenant)
    .where("user_id", "=", userId)
    .executeTakeFirst();
  return row?.role;
}
