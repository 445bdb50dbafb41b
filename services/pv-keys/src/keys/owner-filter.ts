import { Problem, uuidOf } from "@nexus/core";
import type { KeyRow } from "./key.ts";

interface OwnerFilter {
  ownerKind?: KeyRow["owner_kind"];
  /** uuid */
  ownerUserId?: string;
}

/** `organization`, `service` or `usr_…`, as filters name owners. @throws Problem `invalid_request` naming `pointer` */
export function ownerFilter(owner: string | undefined, pointer: string): OwnerFilter {
  if (owner === undefined) return {};
  if (owner === "organization" || owner === "service") return { ownerKind: owner };
  const ownerUserId = uuidOf("user", owner);
  if (ownerUserId !== undefined) return { ownerUserId };
  const detail = "is neither organization, nor service, nor the id of a person";
  throw new Problem("invalid_request", `${pointer} ${detail}.`, { errors: [{ pointer, detail }] });
}
