export { type ApiKeyKind, generateApiKey, type KeyEnvironment, parseApiKey, type ParsedApiKey } from "./api-key.ts";
export { clientNetwork } from "./client-network.ts";
export { assert, assertNever } from "./assert.ts";
export { crc32Base62, randomBase62 } from "./base62.ts";
export { type Clock, systemClock } from "./clock.ts";
export {
  type Id,
  type IdKind,
  type KeyId,
  newId,
  newUuid,
  type OrganizationId,
  type RequestId,
  type SessionId,
  toId,
  type UserId,
  uuidOf,
} from "./id.ts";
export { costOf, dollarsFromNanos, type NanoDollars, nanosFromDollars } from "./money.ts";
export { type FieldError, Problem, problemCatalogue, type ProblemCode } from "./problem.ts";
export { isPublishedValue } from "./published-values.ts";
export { Roster, type Seat } from "./roster.ts";
export { allowsScope, scopePattern } from "./scope.ts";
