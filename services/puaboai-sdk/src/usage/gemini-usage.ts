/** Google's figures (https://ai.google.dev/api/generate-content#UsageMetadata). */
import { count, isObject, noTokens, type TokenUsage } from "./token-usage.ts";
import { withUnits } from "./units.ts";

/** It counts thoughts beside the answer, and what its tools read beside the prompt; both are billed as the rest. */
export function readGeminiUsage(value: unknown): TokenUsage | undefined {
  if (!isObject(value)) return undefined;
  const prompt = count(value["promptTokenCount"]);
  if (prompt === undefined) return undefined;
  const input = prompt + (count(value["toolUsePromptTokenCount"]) ?? 0);
  const reasoning = count(value["thoughtsTokenCount"]) ?? 0;
  const [given, fromTools] = [value["promptTokensDetails"], value["toolUsePromptTokensDetails"]];
  const [cached, answered] = [value["cacheTokensDetails"], value["candidatesTokensDetails"]];
  return {
    ...noTokens,
    input,
    output: (count(value["candidatesTokenCount"]) ?? 0) + reasoning,
    cachedInput: Math.min(count(value["cachedContentTokenCount"]) ?? 0, input),
    reasoning,
    ...withUnits({
      audioInput: ofKind(given, "AUDIO") + ofKind(fromTools, "AUDIO"),
      cachedAudioInput: ofKind(cached, "AUDIO"),
      audioOutput: ofKind(answered, "AUDIO"),
      imageInput: ofKind(given, "IMAGE") + ofKind(fromTools, "IMAGE"),
      cachedImageInput: ofKind(cached, "IMAGE"),
      imageOutput: ofKind(answered, "IMAGE"),
    }),
  };
}

function ofKind(details: unknown, kind: string): number {
  if (!Array.isArray(details)) return 0;
  return details.reduce<number>((sum, part: unknown) => {
    return isObject(part) && part["modality"] === kind ? sum + (count(part["tokenCount"]) ?? 0) : sum;
  }, 0);
}
