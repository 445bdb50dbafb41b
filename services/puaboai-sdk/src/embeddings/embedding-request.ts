import { Problem } from "@nexus/core";
import type { ObjectScan } from "../json/scan-object.ts";
import { setMember, splice } from "../json/splice.ts";
import type { ModelPrice } from "../settings/dated-prices.ts";
import { readRequest } from "../wire/read-request.ts";

export interface EmbeddingRequest {
  body: Buffer;
  model: string;
  /** Media are named inside, of which bytes do not tell the tokens. */
  hasMedia: boolean;
  scan: ObjectScan;
}

const wanted: ReadonlySet<string> = new Set(["model"]);
const mediaNames: ReadonlySet<string> = new Set([
  "image",
  "image_url",
  "audio",
  "audio_url",
  "input_audio",
  "video",
  "video_url",
]);

/** @throws Problem `malformed_json`, or `invalid_request` when the model is not named */
export function readEmbeddingRequest(body: Buffer): EmbeddingRequest {
  const { scan, fields, model, inside } = readRequest(body, wanted, mediaNames);
  fields.finish();
  return { body, model, scan, hasMedia: inside.size > 0 };
}

/** Each of many inputs may be as long as the context: no budget bounds media. @throws Problem `invalid_request` */
export function refuseMedia({ hasMedia }: EmbeddingRequest, price: ModelPrice): void {
  if (!hasMedia || typeof price === "string") return;
  const detail = "holds images or sound, whose cost no budget here can bound";
  throw new Problem("invalid_request", undefined, { errors: [{ pointer: "/input", detail }] });
}

/** The client's own bytes with the upstream's name of the model. */
export function upstreamEmbeddingBody(request: EmbeddingRequest, upstreamModel: string): Buffer {
  if (request.model === upstreamModel) return request.body;
  return splice(request.body, [setMember(request.scan, "model", JSON.stringify(upstreamModel))]);
}
