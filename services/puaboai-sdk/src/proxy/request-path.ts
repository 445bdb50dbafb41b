import type { ProviderSettings } from "../settings/provider-settings.ts";

/**
 * Where a provider takes calls of a format, below its base URL. Azure's deployments have paths of their own, but for responses
 * (https://learn.microsoft.com/azure/ai-services/openai/reference).
 */
export function requestPath(
  { hasDeployments, apiVersion }: Pick<ProviderSettings, "hasDeployments" | "apiVersion">,
  upstreamModel: string,
  path: string,
): string {
  const whole = hasDeployments && path !== "/responses" ? `/deployments/${encodeURIComponent(upstreamModel)}${path}` : path;
  return apiVersion === undefined ? whole : `${whole}${whole.includes("?") ? "&" : "?"}api-version=${apiVersion}`;
}
