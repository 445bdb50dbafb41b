import type { UsageEvent } from "@nexus/contracts/usage";
import { toId } from "@nexus/core";
import type { StoredUsage } from "./read-usage.store.ts";

export type { StoredUsage } from "./read-usage.store.ts";

/** One attempt as the API shows it. */
export function presentUsage(row: StoredUsage): UsageEvent {
  return {
    request_id: toId("request", row.request_id),
    attempt: row.attempt,
    occurred_at: row.occurred_at.toISOString(),
    organization_id: toId("organization", row.organization_id),
    key_id: row.key_id === null ? null : toId("key", row.key_id),
    user_id: row.user_id === null ? null : toId("user", row.user_id),
    endpoint: row.endpoint,
    requested_model: row.requested_model,
    model: row.model,
    provider: row.provider,
    upstream_model: row.upstream_model,
    stream: row.stream,
    outcome: row.outcome,
    http_status: row.http_status,
    error_code: row.error_code,
    failure: row.failure as UsageEvent["failure"],
    upstream_status: row.upstream_status,
    input_tokens: Number(row.input_tokens),
    output_tokens: Number(row.output_tokens),
    cached_input_tokens: Number(row.cached_input_tokens),
    cache_write_tokens: Number(row.cache_write_tokens),
    reasoning_tokens: Number(row.reasoning_tokens),
    units: row.units as UsageEvent["units"],
    usage_source: row.usage_source,
    cost_nanos: row.cost_nanos.toString(),
    price: row.price as Record<string, unknown> | null,
    duration_ms: row.duration_ms,
    first_byte_ms: row.first_byte_ms,
    client_request_id: row.client_request_id,
  };
}
