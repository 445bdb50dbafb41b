import type { UpstreamTrouble } from "@nexus/contracts/usage";
import { Problem } from "@nexus/core";

/** Why a call upstream did not end well, or was not made. */
export class UpstreamFailure extends Error {
  readonly trouble: UpstreamTrouble;
  readonly kind: "failed" | "timeout";
  /** The request was on its way: the provider may have worked, and charge for it. */
  readonly reached: boolean;

  constructor(trouble: UpstreamTrouble, reached: boolean, reason: { message: string; cause?: unknown }) {
    super(reason.message, { cause: reason.cause });
    this.name = "UpstreamFailure";
    this.trouble = trouble;
    this.kind = timeouts.has(trouble) ? "timeout" : "failed";
    this.reached = reached;
  }

  /** What the client is told. */
  problem(): Problem {
    return new Problem(this.kind === "timeout" ? "upstream_timeout" : "upstream_failed", undefined, { cause: this });
  }
}

const timeouts: ReadonlySet<UpstreamTrouble> = new Set([
  "connect_timeout",
  "first_byte_timeout",
  "idle_timeout",
  "total_timeout",
]);

/** A provider that is not asked now. @param afterSeconds when it may be asked again */
export function notAsked(
  trouble: "breaker_open" | "too_many_calls" | "no_secret",
  detail: string,
  afterSeconds: number,
): Problem {
  const cause = new UpstreamFailure(trouble, false, { message: detail });
  return new Problem("unavailable", detail, { headers: { "retry-after": String(afterSeconds) }, cause });
}

/** The failure behind an error of the HTTP client. */
export function failureOf(error: unknown, reached: boolean): UpstreamFailure {
  if (error instanceof UpstreamFailure) return error;
  if ((error as { code?: unknown } | null)?.code === "UND_ERR_CONNECT_TIMEOUT")
    return new UpstreamFailure("connect_timeout", reached, { message: "no connection in time", cause: error });
  return reached
    ? new UpstreamFailure("connection_broken", true, { message: "the connection broke", cause: error })
    : new UpstreamFailure("no_connection", false, { message: "no connection", cause: error });
}

/** What a status tells that is no answer. */
export function troubleOf(status: number): UpstreamTrouble {
  if (overloaded.has(status)) return "overloaded";
  if (status >= 500) return "server_error";
  return status >= 400 ? "refused" : "bad_answer";
}

/** 529 is Anthropic's: https://docs.anthropic.com/en/api/errors. */
const overloaded: ReadonlySet<number> = new Set([408, 429, 503, 529]);

/** The provider's trouble that a client is told of. */
export function troubleIn({ cause }: { cause?: unknown }): UpstreamTrouble | undefined {
  return cause instanceof UpstreamFailure ? cause.trouble : undefined;
}
