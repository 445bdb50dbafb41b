import { longestModelName } from "../chat/chat-request.ts";
import { fieldReader } from "../json/read-fields.ts";
import { type ObjectScan, scanObject } from "../json/scan-object.ts";
import { setMember, splice } from "../json/splice.ts";

export interface EmbeddingRequest {
  body: Buffer;
  model: string;
  scan: ObjectScan;
}

const wanted: ReadonlySet<string> = new Set(["model"]);

/** @throws Problem `malformed_json`, or `invalid_request` when the model is not named */
export function readEmbeddingRequest(body: Buffer): EmbeddingRequest {
  const scan = scanObject(body, { wanted });
  const fields = fieldReader(body, scan);
  const model = fields.text("model", longestModelName);
  if (!scan.values.has("model")) fields.refuse("model", "is required");
  fields.finish();
  return { body, model: model ?? "", scan };
}

/** The client's own bytes with the upstream's name of the model. */
export function upstreamEmbeddingBody(request: EmbeddingRequest, upstreamModel: string): Buffer {
  if (request.model === upstreamModel) return request.body;
  return splice(request.body, [setMember(request.scan, "model", JSON.stringify(upstreamModel))]);
}
