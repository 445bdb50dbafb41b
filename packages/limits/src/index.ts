export type {
  Admission,
  Admitted,
  KeyLimit,
  LimitedKey,
  LimitRefusalCode,
  QuotaRefill,
  RateLimitState,
  Refused,
} from "./limited-key.ts";
export { type KeyLimits, type KeyLimitsOptions, openKeyLimits } from "./open-key-limits.ts";
