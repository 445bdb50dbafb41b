import { paidExtraNames, paidExtrasIn } from "../calls/paid-tools.ts";
/** The few fields of a chat completion request that the gateway acts on; everything else is the upstream's. */
import { fieldReader } from "../json/read-fields.ts";
import { type ObjectScan, scanObject, type Span } from "../json/scan-object.ts";
import { setMember, type Splice, splice } from "../json/splice.ts";
import { readRequest } from "../wire/read-request.ts";

export interface ChatRequest {
  /** As it came. */
  body: Buffer;
  model: string;
  stream: boolean;
  /** The client itself asked for the frame that holds only the usage. */
  wantsUsageFrame: boolean;
  /** Largest answer the client allows, tokens a choice. */
  outputCap: number | undefined;
  /** The same, as each field says it. */
  caps: OutputCaps;
  /** How many answers are asked for: `n`. */
  choices: number;
  /** Images, sound or files are inside: bytes say nothing about their tokens. */
  hasMedia: boolean;
  /** Sound is among them, which some providers bill higher than text. */
  hasAudio: boolean;
  /** What the provider would bill beside tokens, or at another price. */
  paidExtras: readonly string[];
  scan: ObjectScan;
  streamOptions: { scan: ObjectScan; span: Span } | undefined;
}

/** Both names are in use; providers know one of them or either. */
type OutputCapField = "max_tokens" | "max_completion_tokens";
type OutputCaps = Readonly<Record<OutputCapField, number | undefined>>;

const largestCap = 2 ** 31;
const wanted: ReadonlySet<string> = new Set([
  "model",
  "stream",
  "stream_options",
  "max_tokens",
  "max_completion_tokens",
  "n",
  "tools",
  ...paidExtraNames,
]);
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
const soundNames = ["input_audio", "audio_url", "audio"];
const mostChoices = 128;

/** @throws Problem `malformed_json`, or `invalid_request` naming every faulty field */
export function readChatRequest(body: Buffer): ChatRequest {
  const { scan, fields, model, stream, inside } = readRequest(body, wanted, mediaNames);
  const caps = {
    max_completion_tokens: fields.count("max_completion_tokens", largestCap),
    max_tokens: fields.count("max_tokens", largestCap),
  };
  const choices = fields.count("n", mostChoices) ?? 1;
  const streamOptions = readStreamOptions(body, scan);
  if (streamOptions === "wrong") fields.refuse("stream_options", "must be an object");
  fields.finish();
  return {
    body,
    model,
    stream,
    paidExtras: paidExtrasIn(body, scan),
    wantsUsageFrame: stream && typeof streamOptions === "object" && streamOptions.includeUsage,
    outputCap: largerOf(caps.max_tokens, caps.max_completion_tokens),
    caps,
    choices,
    hasMedia: inside.size > 0,
    hasAudio: soundNames.some((name) => inside.has(name)),
    scan,
    streamOptions: typeof streamOptions === "object" ? streamOptions : undefined,
  };
}

function largerOf(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? (one ?? other) : Math.max(one, other);
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
  /** The provider gets a cap in this field, and none above so many tokens. */
  outputCap: { field: OutputCapField; tokens: number } | undefined;
}

/** The body for the upstream: the client's own bytes but for the members that must differ. */
export function upstreamChatBody(request: ChatRequest, changes: Changes): Buffer {
  const splices: Splice[] = [];
  if (request.model !== changes.upstreamModel)
    splices.push(setMember(request.scan, "model", JSON.stringify(changes.upstreamModel)));
  if (request.stream && changes.asksForUsage && !request.wantsUsageFrame) splices.push(askForUsage(request));
  if (changes.outputCap) splices.push(...capOutput(request, changes.outputCap));
  return splice(request.body, splices);
}

/**
 * A provider that does not know the field in which the client sent its cap would answer without one, and one that knows a longer
 * answer than `tokens` would give it: what was set aside for the call holds only for the cap that the provider acts on.
 */
function capOutput({ caps, scan }: ChatRequest, { field, tokens }: { field: OutputCapField; tokens: number }): Splice[] {
  const other = field === "max_tokens" ? "max_completion_tokens" : "max_tokens";
  const cap = String(Math.min(caps[field] ?? caps[other] ?? tokens, tokens));
  const foreign = scan.values.get(other);
  // Both at once is what some providers refuse: the client's own member gets the right name.
  if (foreign && !scan.values.has(field)) {
    return [
      { ...foreign.name, text: JSON.stringify(field) },
      { start: foreign.start, end: foreign.end, text: cap },
    ];
  }
  const splices = String(caps[field]) === cap ? [] : [setMember(scan, field, cap)];
  if ((caps[other] ?? 0) > tokens) splices.push(setMember(scan, other, String(tokens)));
  return splices;
}

function askForUsage(request: ChatRequest): Splice {
  const options = request.streamOptions;
  if (!options) return setMember(request.scan, "stream_options", '{"include_usage":true}');
  const inner = setMember(options.scan, "include_usage", "true");
  return { start: inner.start + options.span.start, end: inner.end + options.span.start, text: inner.text };
}
