/** The few fields of a chat completion request that the gateway acts on; everything else is the upstream's. */
import { fieldReader } from "../json/read-fields.ts";
import { type ObjectScan, scanObject, type Span } from "../json/scan-object.ts";
import { setMember, type Splice, splice } from "../json/splice.ts";

export interface ChatRequest {
  /** As it came. */
  body: Buffer;
  model: string;
  stream: boolean;
  /** The client itself asked for the frame that holds only the usage. */
  wantsUsageFrame: boolean;
  /** Largest answer the client allows, tokens a choice. */
  outputCap: number | undefined;
  /** How many answers are asked for: `n`. */
  choices: number;
  /** Images, sound or files are inside: bytes say nothing about their tokens. */
  hasMedia: boolean;
  scan: ObjectScan;
  streamOptions: { scan: ObjectScan; span: Span } | undefined;
}

const wanted: ReadonlySet<string> = new Set(["model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n"]);
const wantedStreamOptions: ReadonlySet<string> = new Set(["include_usage"]);
const mediaNames: ReadonlySet<string> = new Set([
  "image_url",
  "input_audio",
  "file",
  "video_url",
  "audio_url",
  "input_image",
  "input_file",
  "image",
  "audio",
]);
export const longestModelName = 200;
const mostChoices = 128;

/** @throws Problem `malformed_json`, or `invalid_request` naming every faulty field */
export function readChatRequest(body: Buffer): ChatRequest {
  let hasMedia = false;
  const scan = scanObject(body, {
    wanted,
    noteInnerName: (name) => {
      if (!hasMedia && mediaNames.has(name)) hasMedia = true;
    },
  });
  const fields = fieldReader(body, scan);
  const model = fields.text("model", longestModelName);
  if (!scan.values.has("model")) fields.refuse("model", "is required");
  const stream = fields.flag("stream") ?? false;
  const caps = [fields.count("max_completion_tokens", 2 ** 31), fields.count("max_tokens", 2 ** 31)].filter(
    (cap) => cap !== undefined,
  );
  const choices = fields.count("n", mostChoices) ?? 1;
  const streamOptions = readStreamOptions(body, scan);
  if (streamOptions === "wrong") fields.refuse("stream_options", "must be an object");
  fields.finish();
  return {
    body,
    model: model ?? "",
    stream,
    wantsUsageFrame: stream && typeof streamOptions === "object" && streamOptions.includeUsage,
    outputCap: caps.length > 0 ? Math.max(...caps) : undefined,
    choices,
    hasMedia,
    scan,
    streamOptions: typeof streamOptions === "object" ? streamOptions : undefined,
  };
}

function readStreamOptions(
  body: Buffer,
  scan: ObjectScan,
): { scan: ObjectScan; span: Span; includeUsage: boolean } | "wrong" | undefined {
  const span = scan.values.get("stream_options");
  if (!span || body[span.start] === 0x6e) return undefined;
  if (body[span.start] !== 0x7b) return "wrong";
  const text = body.subarray(span.start, span.end);
  const inner = scanObject(text, { wanted: wantedStreamOptions, pointer: "/stream_options" });
  const fields = fieldReader(text, inner, "/stream_options");
  const includeUsage = fields.flag("include_usage") ?? false;
  fields.finish();
  return { scan: inner, span, includeUsage };
}

interface Changes {
  upstreamModel: string;
  /** Ask for the usage frame of a stream, whether or not the client did. */
  asksForUsage: boolean;
  /** Send this cap where the client sent none. */
  outputCap: { field: "max_tokens" | "max_completion_tokens"; tokens: number } | undefined;
}

/** The body for the upstream: the client's own bytes but for the members that must differ. */
export function upstreamChatBody(request: ChatRequest, changes: Changes): Buffer {
  const splices: Splice[] = [];
  if (request.model !== changes.upstreamModel)
    splices.push(setMember(request.scan, "model", JSON.stringify(changes.upstreamModel)));
  if (request.stream && changes.asksForUsage && !request.wantsUsageFrame) splices.push(askForUsage(request));
  if (changes.outputCap && request.outputCap === undefined) {
    splices.push(setMember(request.scan, changes.outputCap.field, String(changes.outputCap.tokens)));
  }
  return splice(request.body, splices);
}

function askForUsage(request: ChatRequest): Splice {
  const options = request.streamOptions;
  if (!options) return setMember(request.scan, "stream_options", '{"include_usage":true}');
  const inner = setMember(options.scan, "include_usage", "true");
  return { start: inner.start + options.span.start, end: inner.end + options.span.start, text: inner.text };
}
