/** The provider-shaped routes of puaboai-sdk. Requests pass through: only the fields that the gateway acts on are named. */
import { type Static, Type } from "typebox";
import { Nanos, strictObject } from "./common.ts";

const optionalNanos = Type.Optional(Nanos);
const rates = {
  input: Nanos,
  output: Nanos,
  cached_input: Nanos,
  cache_write: Nanos,
  cache_write_1h: Nanos,
  audio_input: optionalNanos,
  cached_audio_input: optionalNanos,
  audio_output: optionalNanos,
  image_input: optionalNanos,
  cached_image_input: optionalNanos,
  image_output: optionalNanos,
};

const Fees = strictObject(
  {
    per_call: optionalNanos,
    per_minute: optionalNanos,
    minimum_seconds: Type.Optional(Type.Integer()),
    per_million_characters: optionalNanos,
    per_image: Type.Optional(Type.Record(Type.String(), Nanos)),
    per_search: optionalNanos,
    most_searches: Type.Optional(Type.Integer()),
  },
  { description: "what is billed beside tokens, in nano-dollars; images by size, quality, `size/quality` or `default`" },
);

const Price = strictObject({
  currency: Type.Literal("USD"),
  unit: Type.Literal("nanos_per_million_tokens"),
  ...rates,
  tiers: Type.Optional(
    Type.Array(strictObject({ above: Type.Integer(), ...rates }), {
      description: "rates of a whole call whose input is longer than `above` tokens; the last that fits holds",
    }),
  ),
  fees: Type.Optional(Fees),
  provider_tells_cost: Type.Optional(
    Type.Literal(true, { description: "what the provider says that a call cost is charged; the figures here bound it" }),
  ),
  source: Type.String(),
  effective: Type.String({ description: "date since which the figures hold" }),
});

const Capability = Type.Union([Type.Boolean(), Type.Null()]);
const Capabilities = strictObject(
  { tools: Capability, images_in: Capability, structured_output: Capability, reasoning: Capability },
  { description: "of a chat model; null where nobody has said" },
);
const Format = strictObject({
  name: Type.String({ description: "of the client's request: openai-chat, openai-responses, anthropic-messages, …" }),
  path: Type.String({ description: "where it is sent" }),
  native: Type.Boolean({ description: "the provider speaks it and bytes pass as they are; else the gateway translates" }),
  streaming: Type.Boolean(),
});

export const Model = strictObject({
  id: Type.String(),
  object: Type.Literal("model"),
  created: Type.Integer({ description: "Unix seconds; when this gateway began to offer it" }),
  owned_by: Type.String({ description: "the provider, or `nexus` for the embedded ones" }),
  kind: Type.Union([
    Type.Literal("chat"),
    Type.Literal("embeddings"),
    Type.Literal("moderations"),
    Type.Literal("images"),
    Type.Literal("speech"),
    Type.Literal("transcriptions"),
  ]),
  context_tokens: Type.Integer(),
  max_output_tokens: Type.Union([Type.Integer(), Type.Null()]),
  capabilities: Type.Union([Capabilities, Type.Null()]),
  formats: Type.Array(Format, { description: "in which the model can be asked" }),
  dimensions: Type.Union([Type.Integer(), Type.Null()]),
  price: Type.Union([Price, Type.Literal("free"), Type.Literal("unknown"), Type.Literal("varies")], {
    description: "`unknown`: refused to callers that have a hard budget; `varies`: as its targets",
  }),
  demo: Type.Boolean({ description: "no real language model; its answers carry x-nexus-demo" }),
  description: Type.Union([Type.String(), Type.Null()]),
  targets: Type.Union([Type.Array(Type.String()), Type.Null()], {
    description: "the models that this name stands for, in the order of the configuration; null for a model",
  }),
});
export type Model = Static<typeof Model>;

export const ModelList = strictObject({ object: Type.Literal("list"), data: Type.Array(Model) });
export type ModelList = Static<typeof ModelList>;

const ModelName = Type.String({ minLength: 1, maxLength: 200 });

/** For the reference page; the body itself is handed on byte for byte. */
export const ChatCompletionRequest = Type.Object(
  {
    model: ModelName,
    messages: Type.Array(Type.Unknown()),
    stream: Type.Optional(Type.Boolean()),
    stream_options: Type.Optional(Type.Object({ include_usage: Type.Optional(Type.Boolean()) })),
    max_tokens: Type.Optional(Type.Integer({ minimum: 1 })),
    max_completion_tokens: Type.Optional(Type.Integer({ minimum: 1 })),
    n: Type.Optional(Type.Integer({ minimum: 1, maximum: 128 })),
  },
  { description: "OpenAI chat completion request; every further field goes to the provider as it is" },
);

export const EmbeddingRequest = Type.Object(
  {
    model: ModelName,
    input: Type.Unknown(),
    encoding_format: Type.Optional(Type.Union([Type.Literal("float"), Type.Literal("base64")])),
    dimensions: Type.Optional(Type.Integer()),
  },
  { description: "OpenAI embeddings request; every further field goes to the provider as it is" },
);

/** For the reference page; the body itself is handed on byte for byte. */
export const MessagesRequest = Type.Object(
  {
    model: ModelName,
    max_tokens: Type.Integer({ minimum: 1 }),
    messages: Type.Array(Type.Unknown()),
    stream: Type.Optional(Type.Boolean()),
  },
  { description: "Anthropic Messages request; every further field goes to the provider as it is" },
);

export const CountTokensRequest = Type.Object(
  { model: ModelName, messages: Type.Array(Type.Unknown()) },
  { description: "Anthropic token counting request; every further field goes to the provider as it is" },
);

export const ResponsesRequest = Type.Object(
  {
    model: ModelName,
    input: Type.Unknown(),
    stream: Type.Optional(Type.Boolean()),
    max_output_tokens: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  { description: "OpenAI Responses request; every further field goes to the provider as it is" },
);

export const ModerationRequest = Type.Object(
  { model: ModelName, input: Type.Unknown() },
  { description: "OpenAI moderation request; every further field goes to the provider as it is" },
);

export const SpeechRequest = Type.Object(
  { model: ModelName, input: Type.String({ maxLength: 100_000 }), voice: Type.Optional(Type.Unknown()) },
  { description: "OpenAI text to speech request; every further field goes to the provider as it is" },
);

export const TranscriptionForm = Type.Object(
  { model: ModelName, file: Type.String({ format: "binary" }), stream: Type.Optional(Type.String()) },
  { description: "OpenAI speech to text form; every further field goes to the provider as it is" },
);

export const ImageRequest = Type.Object(
  { model: ModelName, prompt: Type.String(), n: Type.Optional(Type.Integer({ minimum: 1, maximum: 10 })) },
  { description: "OpenAI image generation request; every further field goes to the provider as it is" },
);
