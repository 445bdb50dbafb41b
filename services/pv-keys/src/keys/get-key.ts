import { Problem, uuidOf } from "@nexus/core";
import type { Db } from "@nexus/db";
import { findKey } from "./key-list.store.ts";
import type { KeyRow } from "./key.ts";

/** @param tenant uuid of the organization that asks @throws Problem `not_found`, for another organization's key as well */
export async function getKey(db: Db, { keyId, tenant }: { keyId: string; tenant: string }): Promise<KeyRow> {
  const id = uuidOf("key", keyId);
  const row = id === undefined ? undefined : await findKey(db, { id, organizationId: tenant });
  if (!row) throw new Problem("not_found");
  return row;
}
