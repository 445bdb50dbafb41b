import { countIn, isObject, noTokens, readInputOutputUsage, readTokenUsage, type TokenUsage } from "./token-usage.ts";
import { withUnits } from "./units.ts";

/**
 * What listening to sound consumed: OpenAI tells tokens or a duration
 * (https://platform.openai.com/docs/api-reference/audio/json-object), Mistral both (https://docs.mistral.ai/api/endpoint/audio/transcriptions).
 */
export function readTranscriptionUsage(value: unknown): TokenUsage | undefined {
  if (!isObject(value)) return undefined;
  if (value["type"] === "duration") {
    const { seconds } = value;
    return isDuration(seconds) ? { ...noTokens, ...withUnits({ seconds: Math.ceil(seconds) }) } : undefined;
  }
  const { prompt_audio_seconds: heard, ...tokens } = value;
  if (!isDuration(heard)) return readInputOutputUsage(value) ?? readTokenUsage(value);
  // Its total counts the tokens of the sound, which is billed by the second.
  const input = countIn(tokens, "prompt_tokens") ?? 0;
  const output = countIn(tokens, "completion_tokens") ?? 0;
  return { ...noTokens, input, output, ...withUnits({ seconds: Math.ceil(heard) }) };
}

/** In seconds; a year is a lie or a mistake. */
function isDuration(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= 366 * 86_400;
}
