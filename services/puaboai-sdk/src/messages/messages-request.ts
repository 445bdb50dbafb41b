import { paidExtraNames, paidExtrasIn, paidToolsIn } from "../calls/paid-tools.ts";
/** The few fields of an Anthropic Messages request that the gateway acts on; everything else is the upstream's. */
import { type ObjectScan, scanObject, valueAt } from "../json/scan-object.ts";
import { setMember, splice } from "../json/splice.ts";
import { readRequest } from "../wire/read-request.ts";

export interface MessagesRequest {
  /** As it came. */
  body: Buffer;
  model: string;
  stream: boolean;
  /** `max_tokens`, which this API requires, thinking included. */
  outputCap: number;
  /** The part of it that is for thinking; 0: none is told, or thinking may go beyond the cap, as it may between calls of tools. */
  thinkingTokens: number;
  choices: 1;
  /** Images or documents are inside: bytes say nothing about their tokens. */
  hasMedia: boolean;
  /** The provider is asked to keep input in its cache. */
  writesCache: boolean;
  /** What the provider would do and bill beside tokens, such as `web_search_20250305`. */
  paidTools: readonly string[];
  /** Members that are billed beside tokens or at another price. */
  paidExtras: readonly string[];
  scan: ObjectScan;
}

const largestCap = 2 ** 31;
const wanted: ReadonlySet<string> = new Set([
  "model",
  "stream",
  "max_tokens",
  "tools",
  "mcp_servers",
  "container",
  "cache_control",
  "thinking",
  ...paidExtraNames,
]);
/** A content block of an image, a document or an uploaded file has a source. */
const mediaNames = ["source", "file_id"];
const lookedFor: ReadonlySet<string> = new Set([...mediaNames, "cache_control"]);

/** @throws Problem `malformed_json`, or `invalid_request` naming every faulty field */
export function readMessagesRequest(body: Buffer, { needsCap = true } = {}): MessagesRequest {
  const { scan, fields, model, stream, inside } = readRequest(body, wanted, lookedFor);
  const outputCap = fields.count("max_tokens", largestCap);
  if (needsCap) fields.require("max_tokens");
  fields.finish();
  const servers = ["mcp_servers", "container"].filter((name) => scan.values.has(name));
  return {
    body,
    model,
    stream,
    outputCap: outputCap ?? 1,
    thinkingTokens: thinkingTokensIn(body, scan, outputCap ?? 1),
    choices: 1,
    hasMedia: mediaNames.some((name) => inside.has(name)),
    writesCache: inside.has("cache_control") || scan.values.has("cache_control"),
    paidTools: [...servers, ...paidToolsIn(body, scan, isPaid)],
    paidExtras: paidExtrasIn(body, scan),
    scan,
  };
}

const wantedOfThinking: ReadonlySet<string> = new Set(["budget_tokens"]);

/** What is no number the provider refuses by itself. */
function thinkingTokensIn(body: Buffer, scan: ObjectScan, outputCap: number): number {
  const span = scan.values.get("thinking");
  if (!span || body[span.start] !== 0x7b) return 0;
  const text = body.subarray(span.start, span.end);
  const budget = scanObject(text, { wanted: wantedOfThinking, pointer: "/thinking" }).values.get("budget_tokens");
  const tokens = budget && budget.end - budget.start < 20 ? valueAt(text, budget) : undefined;
  return typeof tokens === "number" && tokens > 0 && tokens < outputCap ? tokens : 0;
}

/** Tools that run at the provider; those that a client runs cost their tokens alone. */
function isPaid(type: string): boolean {
  return !/^(?:custom|bash_\d+|text_editor_\d+|computer_\d+|memory_\d+)$/.test(type);
}

/** The client's own bytes with the upstream's name of the model, and no cap above what the model can write. */
export function upstreamMessagesBody(
  request: MessagesRequest,
  { upstreamModel, mostTokens }: { upstreamModel: string; mostTokens: number },
): Buffer {
  const splices = request.model === upstreamModel ? [] : [setMember(request.scan, "model", JSON.stringify(upstreamModel))];
  if (request.outputCap > mostTokens) splices.push(setMember(request.scan, "max_tokens", String(mostTokens)));
  return splice(request.body, splices);
}
