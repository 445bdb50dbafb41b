/** OpenAI and the platform that runs its models for others. */
import { compatible, type ProviderKind } from "./provider-kind.ts";

export const openai: ProviderKind = {
  ...compatible,
  name: "openai",
  baseUrl: "https://api.openai.com/v1",
  wireFormats: [
    "openai-chat",
    "openai-responses",
    "openai-embeddings",
    "openai-moderations",
    "openai-images",
    "openai-speech",
    "openai-transcriptions",
  ],
  // Its reasoning models refuse `max_tokens`.
  outputCapField: "max_completion_tokens",
  source: "https://platform.openai.com/docs/api-reference/introduction",
};

export const azureOpenai: ProviderKind = {
  ...compatible,
  name: "azure-openai",
  // https://RESOURCE.openai.azure.com/openai/v1; or without `/v1` and with `api_version`, by deployments.
  hasDeployments: true,
  auth: { header: "api-key", prefix: "" },
  wireFormats: ["openai-chat", "openai-responses", "openai-embeddings", "openai-images"],
  outputCapField: "max_completion_tokens",
  source: "https://learn.microsoft.com/azure/ai-foundry/openai/latest",
};
