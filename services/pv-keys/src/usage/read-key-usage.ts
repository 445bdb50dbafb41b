import type { KeyUsage, KeyUsageQuery } from "@nexus/contracts/key-usage";
import { type Clock, Problem } from "@nexus/core";
import type { Db } from "@nexus/db";
import { getKey } from "../keys/get-key.ts";
import { findQuota, type QuotaRow, sumKeyUses } from "./key-uses.store.ts";

const dayMs = 24 * 3600 * 1000;
/** Days that one answer may span, so that it stays one page. */
const longest = { hour: 31, day: 400 };
const usual = 30 * dayMs;

/** @throws Problem `not_found` for a key that is not the organization's, `invalid_request` */
export async function readKeyUsage(
  { db, clock }: { db: Db; clock: Clock },
  { keyId, tenant, query }: { keyId: string; tenant: string; query: KeyUsageQuery },
): Promise<KeyUsage> {
  const { by = "day" } = query;
  const to = query.to === undefined ? new Date(clock.now() + 1) : new Date(query.to);
  const from = query.from === undefined ? new Date(to.getTime() - usual) : new Date(query.from);
  if (!(from < to)) throw refused("?from", "must lie before `to`");
  if (to.getTime() - from.getTime() > longest[by] * dayMs + 1)
    throw refused("?from", `lies more than ${longest[by]} days before \`to\``);
  const { id } = await getKey(db, { keyId, tenant });
  const [rows, quota] = await Promise.all([sumKeyUses(db, { keyId: id, from, to, by }), findQuota(db, id)]);
  const data = rows.map((row) => ({ ...row, start: row.start.toISOString(), uses: Number(row.uses) }));
  return {
    data,
    total: data.reduce((sum, { outcome, uses }) => sum + (outcome === "valid" ? uses : 0), 0),
    quota: quota ? presentQuota(quota) : null,
  };
}

function presentQuota({ limit, used, held, resetsAt }: QuotaRow): NonNullable<KeyUsage["quota"]> {
  const [whole, spent] = [Number(limit), Number(used)];
  // A limit that was lowered may lie below what was used by then.
  const left = Math.max(0, whole - spent);
  return { limit: whole, used: spent, held: Number(held), left, resets_at: resetsAt?.toISOString() ?? null };
}

function refused(pointer: string, detail: string): Problem {
  return new Problem("invalid_request", `${pointer.slice(1)} ${detail}.`, { errors: [{ pointer, detail }] });
}
