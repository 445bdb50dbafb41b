import { endOfString, skipName, skipSpace, skipValue } from "../json/scan-json.ts";

/**
 * The pieces of a JSON object that make two requests the same one: its members in the order of their names, without the space
 * between tokens. Only the top level is ordered: what stands below reaches a model in its order (the properties of a tool's
 * schema, the parts of a message), and another order may be another answer. Values count as they are written: `1.0` is not `1`.
 * @param body a JSON object that a scan has found well formed
 */
export function* canonicalPieces(body: Buffer): Generator<Buffer> {
  const members = membersOf(body).toSorted((one, other) => Buffer.compare(one.name, other.name));
  for (const { name, start, end } of members) {
    yield name;
    yield colon;
    yield* withoutSpace(body, start, end);
    yield comma;
  }
}

const colon = Buffer.from(":");
const comma = Buffer.from(",");
const quote = 0x22;

interface Member {
  /** As written, quotes included. */
  name: Buffer;
  start: number;
  end: number;
}

function membersOf(body: Buffer): Member[] {
  const members: Member[] = [];
  let at = skipSpace(body, skipSpace(body, 0) + 1);
  while (body[at] === quote) {
    let nameEnd = at;
    const start = skipName(body, at, (_from, to) => {
      nameEnd = to;
    });
    const end = skipValue(body, start);
    members.push({ name: body.subarray(at, nameEnd), start, end });
    // Behind the comma; behind the closing brace nothing starts with a quote.
    at = skipSpace(body, skipSpace(body, end) + 1);
  }
  return members;
}

function* withoutSpace(bytes: Buffer, from: number, to: number): Generator<Buffer> {
  let start = from;
  let at = from;
  while (at < to) {
    const byte = bytes[at];
    if (byte === quote) {
      at = endOfString(bytes, at);
    } else if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
      if (at > start) yield bytes.subarray(start, at);
      at = skipSpace(bytes, at);
      start = at;
    } else {
      at++;
    }
  }
  if (to > start) yield bytes.subarray(start, to);
}
