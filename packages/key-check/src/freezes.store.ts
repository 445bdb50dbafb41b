import type { Db, Tables } from "@nexus/db";

type Row = Tables["freezes"];

export interface OpenFreeze {
  kind: Row["target_kind"];
  target: string;
  /** uuid; `null`: holds everywhere. */
  organizationId: string | null;
}

export async function listOpenFreezes(db: Db): Promise<OpenFreeze[]> {
  return await db
    .selectFrom("freezes")
    .select(["target_kind as kind", "target", "organization_id as organizationId"])
    .where("thawed_at", "is", null)
    .execute();
}
