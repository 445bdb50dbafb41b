import { compatible, type ProviderKind } from "./provider-kind.ts";

export const anthropic: ProviderKind = {
  ...compatible,
  name: "anthropic",
  baseUrl: "https://api.anthropic.com/v1",
  auth: { header: "x-api-key", prefix: "" },
  // A client that names a version is given that one.
  headers: { "anthropic-version": "2023-06-01" },
  wireFormats: ["anthropic-messages"],
  source: "https://docs.anthropic.com/en/api/overview",
};
