import type { KeyAnswer, LimitState, RefusedKey, ValidKey, VerifyKeyAnswer, VerifyKeyRequest } from "@nexus/contracts/verify-key";
import { allowsScope } from "@nexus/core";
import { allowsAddress, type KeyChecker } from "@nexus/key-check";
import type { Admission, KeyLimits } from "@nexus/limits";

export interface VerifyDeps {
  checker: KeyChecker;
  limits: Pick<KeyLimits, "admit">;
}

const refused = (code: RefusedKey["code"]): RefusedKey => Object.freeze({ valid: false, code });
const insufficientScope = refused("insufficient_scope");
const modelNotAllowed = refused("model_not_allowed");
const addressNotAllowed = refused("ip_not_allowed");

/**
 * Whether a key is good, and for what. What is not even a key never reaches the database.
 * @param client whom a key that nobody knows is held against
 * @throws Problem `unavailable` when nobody can tell; `rate_limited` when the client has asked about too many unknown keys
 */
export async function verifyKey(deps: VerifyDeps, request: VerifyKeyRequest, client?: string): Promise<VerifyKeyAnswer> {
  const answer = deps.checker.known(request.key) ?? (await deps.checker.check(request.key, request.ip ?? client));
  return await decide(deps, answer, request);
}

/** The same, when nobody has to be asked; `undefined` when somebody must. */
export function verifyKnownKey(
  deps: VerifyDeps,
  request: VerifyKeyRequest,
): VerifyKeyAnswer | Promise<VerifyKeyAnswer> | undefined {
  const answer = deps.checker.known(request.key);
  return answer && decide(deps, answer, request);
}

function decide(
  { limits }: VerifyDeps,
  answer: KeyAnswer,
  request: VerifyKeyRequest,
): VerifyKeyAnswer | Promise<VerifyKeyAnswer> {
  if (!answer.valid) return answer;
  const { scope, model, ip, cost = 1 } = request;
  if (scope !== undefined && !allowsScope(answer.scopes, scope)) return insufficientScope;
  if (model !== undefined && answer.models !== null && !answer.models.includes(model)) return modelNotAllowed;
  if (answer.ip_allow !== null && (ip === undefined || !allowsAddress(answer.ip_allow, ip))) return addressNotAllowed;
  if (cost === 0 || (answer.limits.length === 0 && answer.quota === null)) return answer;
  // Who only asks about a key is not the call that holds a slot.
  const admission = limits.admit({ ...answer, concurrency: null }, cost);
  return admission instanceof Promise ? admission.then((late) => withLimits(answer, late)) : withLimits(answer, admission);
}

function withLimits(answer: ValidKey, admission: Admission): VerifyKeyAnswer {
  const states = admission.states.map((state): LimitState => ({
    name: state.name,
    limit: state.quota,
    window_seconds: state.windowSeconds,
    remaining: Math.max(0, Math.floor(state.remaining)),
    reset_ms: Math.max(0, Math.ceil(state.resetMs)),
  }));
  if (admission.admitted) return { ...answer, limit_states: states };
  const code = admission.code === "quota_exceeded" ? "quota_exceeded" : "rate_limited";
  const wait = Number.isFinite(admission.retryAfterMs) ? { retry_after_ms: Math.ceil(admission.retryAfterMs) } : {};
  return { valid: false, code, limit_states: states, ...wait };
}
