/** The figures of Anthropic's Messages API: what came from the cache and what went into it stands beside `input_tokens`. */
import { countIn, isCount, isObject, noTokens, type TokenUsage } from "../usage/token-usage.ts";
import { withUnits } from "../usage/units.ts";

/**
 * Adds what one `usage` object tells to what is known: a stream tells its input first, and its output, counted from the
 * beginning, again and again. Figures that cannot be counts are taken as absent.
 */
export function mergeUsage(known: TokenUsage | undefined, value: unknown): TokenUsage | undefined {
  if (!isObject(value)) return known;
  const count = (name: string): number | undefined => (isCount(value[name]) ? value[name] : undefined);
  const plain = count("input_tokens");
  const output = count("output_tokens");
  if (plain === undefined && output === undefined) return known;
  const cachedInput = count("cache_read_input_tokens") ?? 0;
  const was = known ?? noTokens;
  const searches = countIn(value["server_tool_use"], "web_search_requests");
  const thinking = countIn(value["output_tokens_details"], "thinking_tokens");
  if (plain === undefined)
    return {
      ...was,
      output: output ?? was.output,
      reasoning: thinking ?? was.reasoning,
      ...withUnits({ searches: searches ?? was.units?.searches }),
    };
  const written = count("cache_creation_input_tokens") ?? 0;
  const lifetimes = value["cache_creation"];
  const hour =
    isObject(lifetimes) && isCount(lifetimes["ephemeral_1h_input_tokens"]) ? lifetimes["ephemeral_1h_input_tokens"] : 0;
  return {
    input: plain + cachedInput + written,
    output: output ?? was.output,
    cachedInput,
    cacheWrite: Math.max(0, written - hour),
    cacheWriteHour: Math.min(hour, written),
    reasoning: thinking ?? was.reasoning,
    ...withUnits({ searches: searches ?? was.units?.searches }),
  };
}
