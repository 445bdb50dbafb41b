/** The most that a call can consume, so that its money can be set aside before it begins. */
import type { Bound } from "../settings/price.ts";
import { noTokens } from "../usage/token-usage.ts";
import { type Units, withUnits } from "../usage/units.ts";

interface BoundedCall {
  /** Length of the request body. */
  bodyBytes: number;
  /** Bytes tell nothing about the tokens of images, sound and files. */
  hasMedia: boolean;
  hasAudio?: boolean;
  /** The client's cap on each answer. */
  outputCap: number | undefined;
  choices: number;
  /** The provider may be asked to keep input in its cache, which can cost more than reading it. */
  writesCache?: boolean;
  /** The most of what is billed beside tokens. */
  units?: Units | undefined;
}

interface Limits {
  contextTokens: number;
  maxOutputTokens: number;
  /** Input that the provider surely never takes more of; absent: only gateway.yaml says how long the context is. */
  longestInput?: number | undefined;
}

/** What providers add around a request: role markers, tool instructions. */
const templateTokens = 1024;

/**
 * One token for every input byte (no byte-level encoding has more) and the template; the context where bytes tell nothing. A
 * context that only the file tells is no bound, as the provider may take more: it never makes the bound smaller than the bytes.
 * On the way out the cap, for every choice.
 */
export function boundUsage(call: BoundedCall, model: Limits): Bound {
  const { contextTokens, longestInput = Infinity } = model;
  const bytes = call.bodyBytes + templateTokens;
  const context = longestInput === Infinity ? contextTokens : longestInput;
  const input = Math.min(call.hasMedia ? Math.max(bytes, context) : bytes, longestInput);
  const output = Math.min(call.outputCap ?? model.maxOutputTokens, model.maxOutputTokens) * call.choices;
  return {
    ...noTokens,
    input,
    output,
    cacheWriteHour: call.writesCache ? input : 0,
    ...(call.choices > 1 ? { choices: call.choices } : {}),
    ...(call.hasMedia ? { hasMedia: true } : {}),
    ...(call.hasAudio ? { hasAudio: true } : {}),
    ...(call.units ? withUnits(call.units) : {}),
  };
}

/** What a call without the provider's figures is billed: a token for three bytes, which errs upwards for English. */
export function countedInput(call: BoundedCall, bound: Bound): number {
  return call.hasMedia ? bound.input : Math.min(Math.ceil(call.bodyBytes / 3), bound.input);
}
