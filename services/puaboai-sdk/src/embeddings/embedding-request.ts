import type { ObjectScan } from "../json/scan-object.ts";
import { setMember, splice } from "../json/splice.ts";
import { readRequest } from "../wire/read-request.ts";

export interface EmbeddingRequest {
  body: Buffer;
  model: string;
  scan: ObjectScan;
}

const wanted: ReadonlySet<string> = new Set(["model"]);

/** @throws Problem `malformed_json`, or `invalid_request` when the model is not named */
export function readEmbeddingRequest(body: Buffer): EmbeddingRequest {
  const { scan, fields, model } = readRequest(body, wanted);
  fields.finish();
  return { body, model, scan };
}

/** The client's own bytes with the upstream's name of the model. */
export function upstreamEmbeddingBody(request: EmbeddingRequest, upstreamModel: string): Buffer {
  if (request.model === upstreamModel) return request.body;
  return splice(request.body, [setMember(request.scan, "model", JSON.stringify(upstreamModel))]);
}
