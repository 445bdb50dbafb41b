/**
 * Names of OpenTelemetry's semantic conventions for generative AI, as Prometheus spells them. They are in development there: what
 * changes, changes here alone.
 * https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-metrics.md (read 2026-11-23)
 * https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/ for the spelling: dots become `_`, units follow
 */
import type { UsageRow } from "../usage/usage-row.ts";

export const genAiMetrics = {
  operationDuration: {
    name: "gen_ai_client_operation_duration_seconds",
    help: "From sending a call to its provider to the end of the answer",
    bounds: [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92],
  },
  timeToFirstToken: {
    name: "gen_ai_server_time_to_first_token_seconds",
    help: "From taking a streamed call on to the first byte of the provider's answer",
    bounds: [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
  },
  tokenUsage: {
    name: "gen_ai_client_token_usage",
    help: "Tokens of a call, by type, as they are billed",
    bounds: [1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864],
  },
} as const;

/** Ours, where the conventions have none. */
export const ownMetrics = {
  overhead: {
    name: "nexus_gateway_overhead_seconds",
    help: "What the gateway adds to a call: from the whole request to sending it to the provider",
    bounds: [0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 1, 5],
  },
  cost: { name: "nexus_gateway_cost_usd_total", help: "What calls cost, in dollars; the exact figures are in the usage rows" },
  fallbacks: { name: "nexus_gateway_fallbacks_total", help: "Attempts after the first, by where they went" },
} as const;

export const attributes = {
  operationName: "gen_ai_operation_name",
  providerName: "gen_ai_provider_name",
  requestModel: "gen_ai_request_model",
  responseModel: "gen_ai_response_model",
  tokenType: "gen_ai_token_type",
  errorType: "error_type",
  /** The name that the configuration gives it: there may be several of one provider. */
  nexusProvider: "nexus_provider",
} as const;

export const tokenTypes = { input: "input", output: "output" } as const;

/** Values of `gen_ai.operation.name`; what the conventions have no word for keeps ours. */
export const operationNames: Readonly<Partial<Record<UsageRow["endpoint"], string>>> = {
  "chat.completions": "chat",
  messages: "chat",
  responses: "chat",
  embeddings: "embeddings",
};

/** Values of `gen_ai.provider.name`, by where the provider is. */
const knownProviders: readonly (readonly [host: RegExp, name: string])[] = [
  [/(?:^|\.)api\.openai\.com$/, "openai"],
  [/(?:^|\.)api\.anthropic\.com$/, "anthropic"],
  [/\.(?:openai\.azure\.com|cognitiveservices\.azure\.com)$/, "azure.ai.openai"],
  [/\.(?:services\.ai\.azure\.com|models\.ai\.azure\.com)$/, "azure.ai.inference"],
  [/^generativelanguage\.googleapis\.com$/, "gcp.gemini"],
  [/aiplatform\.googleapis\.com$/, "gcp.vertex_ai"],
  [/^bedrock[\w-]*\.[\w-]+\.amazonaws\.com$/, "aws.bedrock"],
  [/^api\.mistral\.ai$/, "mistral_ai"],
  [/^api\.groq\.com$/, "groq"],
  [/^api\.deepseek\.com$/, "deepseek"],
  [/^api\.x\.ai$/, "x_ai"],
  [/^api\.perplexity\.ai$/, "perplexity"],
  [/^api\.cohere\.(?:com|ai)$/, "cohere"],
  [/^api\.moonshot\.(?:cn|ai)$/, "moonshot_ai"],
];

/** @param name of the configuration, for a place that nobody knows */
export function providerNameOf(baseUrl: string | undefined, name: string): string {
  const host = baseUrl === undefined ? "" : (URL.parse(baseUrl)?.hostname ?? "");
  return knownProviders.find(([pattern]) => pattern.test(host))?.[1] ?? name;
}
