import { Problem } from "@nexus/core";
import { type ObjectScan, valueAt } from "../json/scan-object.ts";
import type { ModelPrice } from "../settings/dated-prices.ts";

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
