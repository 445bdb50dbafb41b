/** As much of multipart/form-data (RFC 7578, RFC 2046 §5.1) as a call needs: where its fields stand. What is in files stays unread. */
import { Problem } from "@nexus/core";

export interface FormField {
  name: string;
  isFile: boolean;
  /** Of its value, in bytes. */
  start: number;
  end: number;
}

const mostParts = 64;
const longestHead = 8 * 1024;
const boundaryOf = /^multipart\/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;,"]{1,70}))\s*(?:;|$)/i;
const dispositionOf = /^content-disposition:[ \t]*form-data(?=[ \t]*;)([^\r\n]*)$/im;
const nameOf = /;[ \t]*name="([^"\r\n]{1,200})"/i;

/** @throws Problem `malformed_request` for what is no form, `unsupported_media_type` for another type */
export function readForm(body: Buffer, contentType: string | undefined): FormField[] {
  const [, quoted, plain] = boundaryOf.exec(contentType ?? "") ?? [];
  const boundary = quoted ?? plain;
  if (boundary === undefined)
    throw new Problem("unsupported_media_type", "The body must be multipart/form-data with a boundary.");
  const delimiter = Buffer.from(`\r\n--${boundary}`, "latin1");
  const opening = delimiter.subarray(2);
  // A preamble is nobody's; without one the first delimiter has no line before it.
  let at = body.subarray(0, opening.length).equals(opening) ? opening.length : after(body, delimiter, 0);
  const fields: FormField[] = [];
  while (body.toString("latin1", at, at + 2) !== "--") {
    if (body.toString("latin1", at, at + 2) !== "\r\n") throw malformed("a boundary does not end its line");
    const headEnd = body.indexOf("\r\n\r\n", at);
    if (headEnd === -1 || headEnd - at > longestHead) throw malformed("a part has no head, or one that is too long");
    const start = headEnd + 4;
    const end = indexOfLine(body, delimiter, start - 2);
    if (end === -1) throw malformed("the last part has no end");
    fields.push({ ...readHead(body.toString("latin1", at, headEnd)), start, end: Math.max(start, end) });
    if (fields.length > mostParts) throw malformed(`it has more than ${mostParts} parts`);
    at = end + delimiter.length;
  }
  return fields;
}

function after(body: Buffer, delimiter: Buffer, from: number): number {
  const at = indexOfLine(body, delimiter, from);
  if (at === -1) throw malformed("its boundary does not stand in it");
  return at + delimiter.length;
}

/** Of a delimiter with its end: a longer boundary that begins the same is another's. */
function indexOfLine(body: Buffer, delimiter: Buffer, from: number): number {
  for (let at = body.indexOf(delimiter, from); at !== -1; at = body.indexOf(delimiter, at + 1)) {
    const next = body.toString("latin1", at + delimiter.length, at + delimiter.length + 2);
    if (next === "\r\n" || next === "--") return at;
  }
  return -1;
}

function readHead(head: string): Pick<FormField, "name" | "isFile"> {
  const parameters = dispositionOf.exec(head)?.[1];
  const name = parameters === undefined ? undefined : nameOf.exec(parameters)?.[1];
  if (parameters === undefined || name === undefined) throw malformed("a part has no name");
  return { name, isFile: /;[ \t]*filename\*?=/i.test(parameters) };
}

function malformed(why: string): Problem {
  return new Problem("malformed_request", `The form cannot be read: ${why}.`);
}
