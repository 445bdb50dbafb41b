import { isPaidTool, paidExtraNames, paidExtrasIn, paidToolsIn } from "../calls/paid-tools.ts";
/** The few fields of an OpenAI Responses request that the gateway acts on; everything else is the upstream's. */
import type { ObjectScan } from "../json/scan-object.ts";
import { setMember, splice } from "../json/splice.ts";
import { readRequest } from "../wire/read-request.ts";

export interface ResponsesRequest {
  /** As it came. */
  body: Buffer;
  model: string;
  stream: boolean;
  /** `max_output_tokens`, reasoning included. */
  outputCap: number | undefined;
  choices: 1;
  /** Bytes say nothing about the tokens: media are inside, or a conversation that the provider keeps. */
  hasMedia: boolean;
  /** What the provider would do and bill beside tokens, such as `web_search`. */
  paidTools: readonly string[];
  /** Members that are billed beside tokens or at another price. */
  paidExtras: readonly string[];
  scan: ObjectScan;
}

const largestCap = 2 ** 31;
const wanted: ReadonlySet<string> = new Set([
  "model",
  "stream",
  "max_output_tokens",
  "background",
  "tools",
  "previous_response_id",
  "conversation",
  "prompt",
  ...paidExtraNames,
]);
const keptElsewhere = ["previous_response_id", "conversation", "prompt"];
const mediaNames: ReadonlySet<string> = new Set(["image_url", "file_id", "file_data", "file_url", "input_audio"]);

/** @throws Problem `malformed_json`, or `invalid_request` naming every faulty field */
export function readResponsesRequest(body: Buffer): ResponsesRequest {
  const { scan, fields, model, stream, inside } = readRequest(body, wanted, mediaNames);
  const outputCap = fields.count("max_output_tokens", largestCap);
  // Its figures would come when nobody is there to count them.
  if (fields.flag("background") === true) fields.refuse("background", "must be false: answers are counted as they pass");
  fields.finish();
  return {
    body,
    model,
    stream,
    outputCap,
    choices: 1,
    hasMedia: inside.size > 0 || keptElsewhere.some((name) => scan.values.has(name)),
    paidTools: paidToolsIn(body, scan, isPaidTool),
    paidExtras: paidExtrasIn(body, scan),
    scan,
  };
}

/** The client's own bytes with the upstream's name of the model, and a cap where there is none or a larger one. */
export function upstreamResponsesBody(
  request: ResponsesRequest,
  { upstreamModel, mostTokens }: { upstreamModel: string; mostTokens: number },
): Buffer {
  const splices = request.model === upstreamModel ? [] : [setMember(request.scan, "model", JSON.stringify(upstreamModel))];
  if ((request.outputCap ?? Infinity) > mostTokens)
    splices.push(setMember(request.scan, "max_output_tokens", String(mostTokens)));
  return splice(request.body, splices);
}
