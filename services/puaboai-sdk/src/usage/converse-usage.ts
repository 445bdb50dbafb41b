/** Bedrock's figures (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html). */
import { count, isObject, noTokens, type TokenUsage } from "./token-usage.ts";

/** What the cache gave and took is counted beside the rest of the input. */
export function readConverseUsage(value: unknown): TokenUsage | undefined {
  if (!isObject(value)) return undefined;
  const fresh = count(value["inputTokens"]);
  const output = count(value["outputTokens"]);
  if (fresh === undefined || output === undefined) return undefined;
  const cachedInput = count(value["cacheReadInputTokens"]) ?? 0;
  const written = count(value["cacheWriteInputTokens"]) ?? 0;
  const cacheWriteHour = Math.min(writtenForAnHour(value["cacheDetails"]), written);
  const input = fresh + cachedInput + written;
  return { ...noTokens, input, output, cachedInput, cacheWrite: written - cacheWriteHour, cacheWriteHour };
}

function writtenForAnHour(details: unknown): number {
  if (!Array.isArray(details)) return 0;
  return details.reduce<number>((sum, part: unknown) => {
    return isObject(part) && part["ttl"] === "1h" ? sum + (count(part["inputTokens"]) ?? 0) : sum;
  }, 0);
}
