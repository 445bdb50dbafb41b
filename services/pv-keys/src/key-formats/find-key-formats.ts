import type { Db } from "@nexus/db";
import { type KeyFormatRow, listFormats } from "./key-formats.store.ts";

export type { KeyFormatRow } from "./key-formats.store.ts";

/** The registered shapes of foreign keys, by name. */
export async function findKeyFormats(db: Db): Promise<Map<string, KeyFormatRow>> {
  return new Map((await listFormats(db)).map((format) => [format.name, format]));
}
