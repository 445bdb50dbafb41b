import { Problem } from "@nexus/core";
import { scanObject, type Span, valueAt } from "../json/scan-object.ts";

/**
 * The value of a member of a JSON object, by the names that lead to it from the top; `undefined` where there is none, or where
 * the text is no JSON. By its place and not by its name alone: answers repeat what a client wrote, and that may look like figures.
 */
export function memberAt(json: Buffer, path: readonly string[]): unknown {
  let text = json;
  try {
    for (const name of path.slice(0, -1)) {
      const span = memberSpan(text, name);
      if (!span) return undefined;
      text = text.subarray(span.start, span.end);
    }
    const span = memberSpan(text, path.at(-1) ?? "");
    return span && valueAt(text, span);
  } catch (error) {
    if (error instanceof Problem || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function memberSpan(text: Buffer, name: string): Span | undefined {
  return scanObject(text, { wanted: new Set([name]) }).values.get(name);
}

/** It is a JSON object and nothing else. */
export function isObjectText(text: Buffer): boolean {
  try {
    scanObject(text, { wanted: nothing });
    return true;
  } catch (error) {
    if (error instanceof Problem) return false;
    throw error;
  }
}

const nothing: ReadonlySet<string> = new Set();
const dataName = Buffer.from("data:");

/** The data of a frame that carries one line of it, as those of model providers do. */
export function dataOf(frame: Buffer): Buffer {
  const at = frame.indexOf(dataName);
  return at === -1 ? frame.subarray(frame.length) : frame.subarray(at + dataName.length);
}
