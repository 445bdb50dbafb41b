import type { ObjectScan, Span } from "./scan-object.ts";

/** Puts `text` in the place of a span; an empty span inserts. */
export interface Splice extends Span {
  text: string;
}

/** A copy of `bytes` with the splices applied, or `bytes` itself when there are none. Splices must not overlap. */
export function splice(bytes: Buffer, splices: readonly Splice[]): Buffer {
  if (splices.length === 0) return bytes;
  const parts: Buffer[] = [];
  let at = 0;
  for (const one of splices.toSorted((a, b) => a.start - b.start)) {
    parts.push(bytes.subarray(at, one.start), Buffer.from(one.text));
    at = one.end;
  }
  parts.push(bytes.subarray(at));
  return Buffer.concat(parts);
}

/** Sets a member of a scanned object: its value is replaced, or the member inserted as the first one. */
export function setMember(scan: ObjectScan, name: string, json: string): Splice {
  const member = scan.values.get(name);
  if (member) return { start: member.start, end: member.end, text: json };
  return { start: scan.insertAt, end: scan.insertAt, text: `${JSON.stringify(name)}:${json}${scan.empty ? "" : ","}` };
}
