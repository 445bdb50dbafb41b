/** What calls of one minute or hour come to. */
export interface UsageRollup {
  bucket: Date;
  organization_id: string;
  key_id: string;
  user_id: string;
  model: string;
  provider: string;
  attempts: bigint;
  failed: bigint;
  input_tokens: bigint;
  cached_input_tokens: bigint;
  output_tokens: bigint;
  reasoning_tokens: bigint;
  cost_nanos: bigint;
  duration_ms: bigint;
}
