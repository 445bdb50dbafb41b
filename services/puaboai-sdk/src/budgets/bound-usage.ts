/** The most that a call can consume, so that its money can be set aside before it begins. */
import { noTokens, type TokenUsage } from "../usage/token-usage.ts";

interface BoundedCall {
  /** Length of the request body. */
  bodyBytes: number;
  /** Bytes tell nothing about the tokens of images, sound and files. */
  hasMedia: boolean;
  /** The client's cap on each answer. */
  outputCap: number | undefined;
  choices: number;
  /** The provider may be asked to keep input in its cache, which can cost more than reading it. */
  writesCache?: boolean;
}

interface Limits {
  contextTokens: number;
  maxOutputTokens: number;
}

/** What providers add around a request: role markers, tool instructions. */
const templateTokens = 1024;

/**
 * One token for every input byte (no byte-level encoding has more) and the template, or the whole context where that is less or
 * cannot be told; on the way out the cap, for every choice.
 */
export function boundUsage(call: BoundedCall, model: Limits): TokenUsage {
  const input = call.hasMedia ? model.contextTokens : Math.min(call.bodyBytes + templateTokens, model.contextTokens);
  const output = Math.min(call.outputCap ?? model.maxOutputTokens, model.maxOutputTokens) * call.choices;
  return { ...noTokens, input, output, cacheWriteHour: call.writesCache ? input : 0 };
}

/** What a call without the provider's figures is billed: a token for three bytes, which errs upwards for English. */
export function countedInput(call: BoundedCall, bound: TokenUsage): number {
  return call.hasMedia ? bound.input : Math.min(Math.ceil(call.bodyBytes / 3), bound.input);
}
