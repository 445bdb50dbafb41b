/** The texts inside the frames of a stream: which belong together, and how a frame is written anew when one of them changes. */
import { linesOf } from "./lines-of.ts";

/** A frame with the texts that it carries. */
export interface TextFrame {
  bytes: Buffer;
  leaves: Leaf[];
  /** The frame with its texts as they are now. */
  write(): Buffer;
}

export interface Leaf {
  /** Pieces with the same one are one text; `undefined`: it stands for itself. */
  channel: string | undefined;
  /** As it may leave; whoever changes it says so. */
  text: string;
  isChanged: boolean;
}

/** Members of a delta that are no part of what is written: names and places. */
const whole: ReadonlySet<string> = new Set([
  "type",
  "role",
  "id",
  "object",
  "status",
  "finish_reason",
  "stop_reason",
  "name",
  "signature",
]);
/** Members that tell which of several texts a frame goes on with. */
const places: readonly string[] = ["index", "output_index", "content_index", "summary_index"];

export function readFrame(bytes: Buffer): TextFrame {
  const leaves: Leaf[] = [];
  const setters: ((text: string) => void)[] = [];
  const lines = linesOf(bytes.toString());
  const dataLines = lines.filter((line) => line.startsWith("data:"));
  const found = (leaf: Leaf, set: (text: string) => void): void => {
    leaves.push(leaf);
    setters.push(set);
  };
  // Data in several lines is one text (WHATWG HTML §9.2.6); what is no JSON object is looked at as it is.
  let data: unknown = parsed(dataLines.map((line) => line.slice(5)).join("\n"));
  if (typeof data === "string") found({ channel: undefined, text: data, isChanged: false }, (text) => void (data = text));
  else visit(data as object, { channel: "", isDelta: false }, found);
  return {
    bytes,
    leaves,
    write() {
      if (!leaves.some(({ isChanged }) => isChanged)) return bytes;
      for (const [index, { text }] of leaves.entries()) setters[index]?.(text);
      const end = dataLines[0]?.endsWith("\r") ? "\r" : "";
      const line = `data: ${typeof data === "string" ? data.trim().replaceAll(/[\r\n]+/g, " ") : JSON.stringify(data)}${end}`;
      const first = lines.findIndex((one) => one.startsWith("data:"));
      return Buffer.from(lines.flatMap((one, at) => (at === first ? [line] : one.startsWith("data:") ? [] : [one])).join("\n"));
    },
  };
}

function parsed(data: string): object | string {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === "object" && value !== null ? value : data;
  } catch {
    return data;
  }
}

interface Place {
  channel: string;
  isDelta: boolean;
}

/** Calls for every text, with a way to set it. */
function visit(value: object, place: Place, found: (leaf: Leaf, set: (text: string) => void) => void): void {
  const record = value as Record<string, unknown>;
  const here = Array.isArray(value)
    ? ""
    : places.map((name) => (typeof record[name] === "number" ? `${name}${record[name]}` : "")).join();
  for (const [name, member] of Object.entries(record)) {
    const isDelta = place.isDelta || name === "delta";
    // The element of a list says by itself which it is: the first of this frame may be the second of the answer.
    const channel = `${place.channel}${here}/${Array.isArray(value) ? "" : name}`;
    if (typeof member === "string") {
      const isPiece = isDelta && !whole.has(name);
      found({ channel: isPiece ? channel : undefined, text: member, isChanged: false }, (text) => void (record[name] = text));
    } else if (typeof member === "object" && member !== null) {
      visit(member, { channel, isDelta }, found);
    }
  }
}
