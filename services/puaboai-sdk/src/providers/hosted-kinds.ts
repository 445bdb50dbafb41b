/** Providers of hosted models that are reached by their own address. */
import { compatible, type ProviderKind } from "./provider-kind.ts";

export const hostedKinds: readonly ProviderKind[] = [
  {
    ...compatible,
    name: "amazon-bedrock",
    // https://bedrock-runtime.REGION.amazonaws.com: in which region data may be is not ours to guess.
    wireFormats: ["bedrock-converse"],
    source: "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html",
  },
  {
    ...compatible,
    name: "google",
    baseUrl: "https://generativelanguage.googleapis.com/v1beta/openai",
    source: "https://ai.google.dev/gemini-api/docs/openai",
  },
  {
    ...compatible,
    name: "google-gemini",
    baseUrl: "https://generativelanguage.googleapis.com/v1beta",
    auth: { header: "x-goog-api-key", prefix: "" },
    wireFormats: ["gemini"],
    listedAs: "google",
    source: "https://ai.google.dev/api/generate-content",
  },
  {
    ...compatible,
    name: "mistral",
    baseUrl: "https://api.mistral.ai/v1",
    // Refused as an extra input; its streams tell their usage unasked.
    takesStreamOptions: false,
    source: "https://docs.mistral.ai/api/endpoint/chat",
  },
  {
    ...compatible,
    name: "groq",
    baseUrl: "https://api.groq.com/openai/v1",
    wireFormats: ["openai-chat", "openai-responses"],
    outputCapField: "max_completion_tokens",
    source: "https://console.groq.com/docs/api-reference",
  },
  {
    ...compatible,
    name: "openrouter",
    baseUrl: "https://openrouter.ai/api/v1",
    source: "https://openrouter.ai/docs/api/reference/overview",
  },
  {
    ...compatible,
    name: "deepseek",
    baseUrl: "https://api.deepseek.com",
    wireFormats: ["openai-chat"],
    source: "https://api-docs.deepseek.com/api/create-chat-completion",
  },
  {
    ...compatible,
    name: "xai",
    baseUrl: "https://api.x.ai/v1",
    wireFormats: ["openai-chat", "openai-responses", "openai-images"],
    outputCapField: "max_completion_tokens",
    source: "https://docs.x.ai/docs/api-reference",
  },
  {
    ...compatible,
    name: "together",
    baseUrl: "https://api.together.ai/v1",
    wireFormats: ["openai-chat", "openai-embeddings", "openai-images"],
    source: "https://docs.together.ai/docs/openai-api-compatibility",
  },
  {
    ...compatible,
    name: "fireworks",
    baseUrl: "https://api.fireworks.ai/inference/v1",
    source: "https://docs.fireworks.ai/tools-sdks/openai-compatibility",
  },
];
