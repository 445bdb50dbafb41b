import { Problem } from "@nexus/core";
import { type ObjectScan, valueAt } from "../json/scan-object.ts";
import type { ModelPrice } from "../settings/dated-prices.ts";

/**
 * Members of requests that change what a call costs, in every format that knows them, with the values that do not: tiers and speeds
 * at a price of their own, searches, other models in place of the one that was asked for, and predictions, of which what is wrong is
 * billed as output beyond every cap.
 */
const paidExtras: Readonly<Record<string, readonly (string | number)[]>> = {
  // https://platform.openai.com/docs/guides/fast-mode, https://console.groq.com/docs/service-tiers
  service_tier: ["auto", "default", "flex", "on_demand", "standard_only"],
  // https://docs.anthropic.com/en/docs/build-with-claude/fast-mode
  speed: ["standard"],
  inference_geo: ["global"],
  web_search_options: [],
  prediction: [],
  // https://docs.x.ai/docs/guides/live-search
  search_parameters: [],
  // https://openrouter.ai/docs/features/model-routing, …/web-search
  models: [],
  plugins: [],
  // Answers that are written, billed and not shown, of vLLM and its like.
  best_of: [1],
};
export const paidExtraNames: readonly string[] = Object.keys(paidExtras);

/** Those of a request. A value that is not one of a few words costs more until somebody knows better. */
export function paidExtrasIn(body: Buffer, scan: ObjectScan): string[] {
  return paidExtraNames.filter((name) => {
    const span = scan.values.get(name);
    // `null` asks for nothing.
    if (!span || body[span.start] === 0x6e) return false;
    // A word is short; a megabyte is none.
    const value = span.end - span.start < 100 ? valueAt(body, span) : undefined;
    return !paidExtras[name]?.some((word) => word === value);
  });
}

/** The types of the request's tools that are billed beside tokens, each once. A tool that names no type is the client's own. */
export function paidToolsIn(body: Buffer, scan: ObjectScan, isPaid: (type: string) => boolean): string[] {
  const span = scan.values.get("tools");
  if (!span) return [];
  const tools = valueAt(body, span);
  if (!Array.isArray(tools)) return [];
  const types = tools.map((tool: unknown) =>
    typeof tool === "object" && tool !== null && "type" in tool ? tool.type : undefined,
  );
  return [...new Set(types.filter((type): type is string => typeof type === "string" && isPaid(type)))];
}

/** In OpenAI's formats: what is not the client's own runs at the provider. */
export function isPaidTool(type: string): boolean {
  return type !== "function" && type !== "custom";
}

/** The same for members of the request. @throws Problem `invalid_request` */
export function refusePaidExtras(extras: readonly string[], price: ModelPrice): void {
  if (extras.length === 0 || typeof price === "string") return;
  const detail = "is billed beside tokens or at another price, which no budget here can bound";
  throw new Problem("invalid_request", undefined, { errors: extras.map((name) => ({ pointer: `/${name}`, detail })) });
}

/** What such tools cost no price row of ours says: money that cannot be set aside is not spent. @throws Problem `invalid_request` */
export function refusePaidTools(paidTools: readonly string[], price: ModelPrice): void {
  const [first] = paidTools;
  if (first === undefined || typeof price === "string") return;
  const detail = `${first} is billed beside tokens, which no budget here can bound`;
  throw new Problem("invalid_request", undefined, { errors: [{ pointer: "/tools", detail }] });
}
