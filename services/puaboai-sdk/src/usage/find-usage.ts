import { isUtf8 } from "node:buffer";
import { skipSpace, skipValue } from "../json/scan-json.ts";
import { readTokenUsage, type TokenUsage } from "./token-usage.ts";

const usageName = Buffer.from('"usage"');

/**
 * The usage object of a JSON answer, found from its end without reading the rest: an embedding answer may hold a hundred
 * megabytes of numbers. A JSON string cannot contain a bare quote, so `"usage":` is always a member name, whatever a model wrote.
 */
export function findUsage(answer: Buffer): TokenUsage | undefined {
  for (let at = answer.lastIndexOf(usageName); at !== -1; at = at === 0 ? -1 : answer.lastIndexOf(usageName, at - 1)) {
    const colon = skipSpace(answer, at + usageName.length);
    if (answer[colon] !== 0x3a) continue;
    const usage = usageAt(answer, skipSpace(answer, colon + 1));
    if (usage) return usage;
  }
  return undefined;
}

function usageAt(answer: Buffer, start: number): TokenUsage | undefined {
  if (answer[start] !== 0x7b) return undefined;
  try {
    const text = answer.subarray(start, skipValue(answer, start));
    return isUtf8(text) ? readTokenUsage(JSON.parse(text.toString())) : undefined;
  } catch {
    // A torn or lying answer tells no usage; what that costs is decided by who asked.
    return undefined;
  }
}
