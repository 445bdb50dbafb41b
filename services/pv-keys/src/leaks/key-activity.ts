import type { KeyActivity } from "@nexus/contracts/leaks";
import { type Clock, toId } from "@nexus/core";
import type { Db } from "@nexus/db";
import type { KeyRow } from "../keys/key.ts";
import { auditActivity, decisions, lastCalls, usageActivity, type UsageSums } from "./activity.store.ts";

const dayMs = 24 * 3600 * 1000;
const mostCalls = 100;
const mostEntries = 200;
const nothing: UsageSums = {
  requests: 0n,
  failed: 0n,
  input_tokens: 0n,
  output_tokens: 0n,
  cost_nanos: 0n,
  first_at: null,
  last_at: null,
};

/** What a key of the caller's organization did, and what was done to it, in the last days. */
export async function keyActivity(
  { db, clock }: { db: Db; clock: Clock },
  { key, days }: { key: KeyRow; days: number },
): Promise<KeyActivity> {
  const to = new Date(clock.now());
  const since = new Date(to.getTime() - days * dayMs);
  const of = { keyId: key.id, organizationId: key.organization_id, since };
  const [usage, calls, entries, decided] = await Promise.all([
    usageActivity(db, of),
    lastCalls(db, of, mostCalls),
    auditActivity(db, of, mostEntries + 1),
    decisions(db, of),
  ]);
  return {
    key_id: toId("key", key.id),
    from: since.toISOString(),
    to: to.toISOString(),
    usage: {
      ...presentSums(usage.find(({ part }) => part === "all") ?? nothing),
      by_model: usage
        .filter(({ part }) => part === "model")
        .map(({ endpoint, model, ...sums }) => ({ endpoint: endpoint ?? "", model: model ?? "", ...presentSums(sums) })),
      by_day: usage.filter(({ part }) => part === "day").map(({ day, ...sums }) => ({ day: day ?? "", ...presentSums(sums) })),
      last_calls: calls.map((call) => ({
        ...call,
        request_id: toId("request", call.request_id),
        occurred_at: call.occurred_at.toISOString(),
        cost_nanos: call.cost_nanos.toString(),
      })),
    },
    audit: {
      entries: entries
        .slice(0, mostEntries)
        .map((entry) => ({ ...entry, id: toId("event", entry.id), recorded_at: entry.recorded_at.toISOString() })),
      has_more: entries.length > mostEntries,
    },
    decisions: decided.map((row) => ({
      ...row,
      uses: Number(row.uses),
      first_hour: row.first_hour.toISOString(),
      last_hour: row.last_hour.toISOString(),
    })),
    secrets: key.versions.map(({ version, display_prefix, last_used_at }) => ({
      version,
      prefix: display_prefix,
      last_used_at: last_used_at === null ? null : new Date(last_used_at).toISOString(),
    })),
  };
}

function presentSums({ requests, failed, input_tokens, output_tokens, cost_nanos, first_at, last_at }: UsageSums) {
  return {
    requests: Number(requests),
    failed: Number(failed),
    input_tokens: Number(input_tokens),
    output_tokens: Number(output_tokens),
    cost_nanos: cost_nanos.toString(),
    first_at: first_at?.toISOString() ?? null,
    last_at: last_at?.toISOString() ?? null,
  };
}
