import { type FieldReader, fieldReader } from "../json/read-fields.ts";
import { type ObjectScan, scanObject } from "../json/scan-object.ts";

const longestModelName = 200;
const nothing: ReadonlySet<string> = new Set();

interface CommonRequest {
  scan: ObjectScan;
  /** To read more with; `finish` it. */
  fields: FieldReader;
  model: string;
  stream: boolean;
  /** Those of the looked-for names that stand anywhere below the top, in lower case. */
  inside: ReadonlySet<string>;
}

/**
 * What requests of every format have in common.
 * @param wanted members whose place is wanted, `model` and `stream` among them
 * @param lookedFor names in lower case: Go's decoder matches names without case
 * @throws Problem `malformed_json`, or `invalid_request` for what is no object
 */
export function readRequest(body: Buffer, wanted: ReadonlySet<string>, lookedFor: ReadonlySet<string> = nothing): CommonRequest {
  const inside = new Set<string>();
  const scan = scanObject(body, {
    wanted,
    noteInnerName: (name) => {
      const folded = name.toLowerCase();
      if (lookedFor.has(folded)) inside.add(folded);
    },
  });
  const fields = fieldReader(body, scan);
  const model = fields.text("model", longestModelName);
  fields.require("model");
  return { scan, fields, model: model ?? "", stream: fields.flag("stream") ?? false, inside };
}
