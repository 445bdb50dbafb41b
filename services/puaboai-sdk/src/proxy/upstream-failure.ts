import { Problem } from "@nexus/core";

/** Why a call upstream did not end well. */
export class UpstreamFailure extends Error {
  readonly kind: "failed" | "timeout";
  /** The request was on its way: the provider may have worked, and charge for it. */
  readonly reached: boolean;

  constructor(kind: UpstreamFailure["kind"], reached: boolean, reason: { message: string; cause?: unknown }) {
    super(reason.message, { cause: reason.cause });
    this.name = "UpstreamFailure";
    this.kind = kind;
    this.reached = reached;
  }

  /** What the client is told. */
  problem(): Problem {
    return new Problem(this.kind === "timeout" ? "upstream_timeout" : "upstream_failed", undefined, { cause: this });
  }
}

/** The failure behind an error of the HTTP client. */
export function failureOf(error: unknown, reached: boolean): UpstreamFailure {
  if (error instanceof UpstreamFailure) return error;
  const timedOut = (error as { code?: unknown } | null)?.code === "UND_ERR_CONNECT_TIMEOUT";
  const message = timedOut ? "no connection in time" : reached ? "the connection broke" : "no connection";
  return new UpstreamFailure(timedOut ? "timeout" : "failed", reached, { message, cause: error });
}
