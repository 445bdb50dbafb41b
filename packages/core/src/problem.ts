/**
 * The one catalogue of everything a caller can be told went wrong.
 * A code is stable for ever; its page is `docs/problems/<code>.md`.
 * Status codes: RFC 9110, RFC 6585 (429, 431). Body: RFC 9457.
 */
export const problemCatalogue = {
  malformed_json: { status: 400, title: "The body is not valid JSON" },
  guardrail_blocked: { status: 400, title: "A guardrail does not let this pass" },
  malformed_request: { status: 400, title: "The request cannot be read" },
  unauthenticated: { status: 401, title: "A valid credential is required" },
  budget_exceeded: { status: 402, title: "The budget does not allow this call" },
  price_unknown: { status: 402, title: "The model has no price that a budget could bound" },
  forbidden: { status: 403, title: "This credential may not do that" },
  frozen: { status: 403, title: "This is frozen at the moment" },
  key_revoked: { status: 401, title: "The key ended while the call was under way" },
  sign_up_closed: { status: 403, title: "Sign-up is closed" },
  origin_refused: { status: 403, title: "The request came from another origin" },
  not_found: { status: 404, title: "Not found" },
  model_not_found: { status: 404, title: "No such model" },
  method_not_allowed: { status: 405, title: "The method is not allowed here" },
  not_acceptable: { status: 406, title: "No acceptable representation" },
  request_timeout: { status: 408, title: "The request did not arrive in time" },
  conflict: { status: 409, title: "The request conflicts with the present state" },
  idempotency_in_progress: { status: 409, title: "A request with this idempotency key is still running" },
  precondition_failed: { status: 412, title: "It was changed meanwhile" },
  body_too_large: { status: 413, title: "The body is too large" },
  unsupported_media_type: { status: 415, title: "The content type is not supported" },
  configuration_refused: { status: 422, title: "The configuration has faults" },
  invalid_request: { status: 422, title: "The request does not fit its schema" },
  idempotency_mismatch: { status: 422, title: "This idempotency key was used with another body" },
  secret_not_replayable: { status: 422, title: "The secret was revealed once and cannot be shown again" },
  precondition_required: { status: 428, title: "The request must say which version it changes" },
  rate_limited: { status: 429, title: "Too many requests" },
  quota_exceeded: { status: 429, title: "The quota of the key is used up" },
  concurrency_exceeded: { status: 429, title: "The concurrency of the key is used up" },
  headers_too_large: { status: 431, title: "The head of the request is too large" },
  internal: { status: 500, title: "Something went wrong on our side" },
  upstream_failed: { status: 502, title: "The model provider failed" },
  guardrail_failed: { status: 503, title: "A guardrail could not judge this call" },
  unavailable: { status: 503, title: "Not available at the moment" },
  upstream_timeout: { status: 504, title: "The model provider did not answer in time" },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof problemCatalogue;

/** One fault inside a request. `pointer` is a JSON Pointer (RFC 6901) into the body, or `?name` for a query parameter. */
export interface FieldError {
  pointer: string;
  detail: string;
}

interface ProblemOptions {
  /** Shown to the caller, one line a faulty field. */
  errors?: FieldError[];
  /** Extra answer headers, such as `Retry-After` or `WWW-Authenticate`. */
  headers?: Record<string, string>;
  /** Further members of the problem document (RFC 9457 §3.2): numbers and names a program can act on. */
  extensions?: Record<string, unknown>;
  /** For the log alone. */
  cause?: unknown;
}

/** An answer the client can act on. `detail` is for the caller; `cause` never leaves the log. */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly detail: string | undefined;
  readonly errors: FieldError[] | undefined;
  readonly headers: Record<string, string>;
  readonly extensions: Record<string, unknown>;

  constructor(code: ProblemCode, detail?: string, options: ProblemOptions = {}) {
    super(detail ?? problemCatalogue[code].title, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "Problem";
    this.code = code;
    this.detail = detail;
    this.errors = options.errors;
    this.headers = options.headers ?? {};
    this.extensions = options.extensions ?? {};
  }

  get status(): number {
    return problemCatalogue[this.code].status;
  }
}
