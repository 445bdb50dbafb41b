import type { Problem } from "@nexus/core";
import type { RemoteModel } from "../catalogue/catalogue.ts";
import type { UpstreamFailure } from "../proxy/upstream-failure.ts";
import type { Translation } from "../translation/open-translation.ts";
import { noTokens } from "../usage/token-usage.ts";
import type { WireFormat } from "../wire/wire-format.ts";
import type { CallEnd } from "./call-ledger.ts";
import type { Exchange } from "./exchange.ts";

/** A call whose body is ready for the provider and whose money is set aside. */
export interface ForwardedCall extends Exchange {
  model: RemoteModel;
  /** The provider's. */
  wire: WireFormat;
  /** Absent: the client speaks it as well, and bytes pass as they are. */
  translation?: Translation | undefined;
  body: Buffer;
  /** Of the client, for the provider. */
  headers?: Readonly<Record<string, string>> | undefined;
  /** The client wants a stream. */
  stream: boolean;
  /** There is another target: as long as nothing has gone to the client, a failure is the caller's to go on from. */
  mayFallBack: boolean;
  /** The output cap that the provider is sent in place of the client's, tokens. */
  toldCap?: number | undefined;
  /** What the input is billed when the provider does not say, tokens. */
  countedInput: number;
  logRefusal: (fields: { provider: string; status?: number; err?: unknown }, message: string) => void;
}

/** Takes an answer apart as it comes. */
export interface AnswerSink {
  /** False asks for a pause. */
  data(chunk: Buffer): boolean;
  end(): void;
  fail(failure: UpstreamFailure): void;
  /** The client went away. */
  abandon(): void;
  /** The call may not go on: its key has ended, or it is frozen. */
  cut(problem: Problem): void;
}

/** What a sink needs of the call. */
export interface SinkControls {
  resolve: () => void;
  /** The answer is a problem; nothing was sent yet. */
  reject: (problem: Error) => void;
  abort: () => void;
  resume: () => void;
}

/** The end of a call that never got its whole answer. */
export function failedEnd(call: ForwardedCall, failure: UpstreamFailure): CallEnd {
  const { status, code } = failure.problem();
  return {
    outcome: "error",
    httpStatus: status,
    errorCode: code,
    failure: failure.trouble,
    usage: failure.reached ? unknownUsage(call) : { source: "none" },
  };
}

/** The end of a call that was cut before it had an answer. */
export function cutEnd(call: ForwardedCall, { status, code }: Problem): CallEnd {
  return { outcome: "aborted", httpStatus: status, errorCode: code, usage: unknownUsage(call) };
}

/**
 * A stream shows what it has produced: nothing yet. What a provider did for a whole answer that was never seen nobody can tell,
 * so a hard budget is charged the most it can have been.
 */
export function unknownUsage(call: ForwardedCall): CallEnd["usage"] {
  if (!call.stream || call.wire.withoutFigures === "bound") return { source: "bound" };
  return { source: "counted", tokens: { ...noTokens, input: call.countedInput, output: 0 } };
}

/** Why a call that went well is not billed by the provider's figures; stands in the row as its `error_code`. */
export function missingFigures(source: CallEnd["usage"]["source"], isUnfit: boolean): string | undefined {
  if (source === "provider" || source === "none") return undefined;
  return isUnfit ? "usage_unreadable" : "usage_missing";
}
