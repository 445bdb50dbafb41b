const newline = 0x0a;
const carriageReturn = 0x0d;

/** The frames of a server-sent event stream (WHATWG HTML §9.2), each with its blank line; what follows the last blank line is the last. */
export function* framesIn(bytes: Buffer): Generator<Buffer> {
  let start = 0;
  for (let at = bytes.indexOf(newline); at !== -1; at = bytes.indexOf(newline, at + 1)) {
    const next = bytes[at + 1] === carriageReturn ? at + 2 : at + 1;
    if (bytes[next] !== newline) continue;
    yield bytes.subarray(start, next + 1);
    start = next + 1;
    at = next;
  }
  if (start < bytes.length) yield bytes.subarray(start);
}
