import { ImageRequest } from "@nexus/contracts/gateway";
import type { App } from "@nexus/http";
import type { CallDeps } from "../calls/call-deps.ts";
import { addWholeAnswerRoute } from "../calls/whole-answer-route.ts";
import { responsesWire } from "../responses/responses-wire.ts";
import type { WireFormat } from "../wire/wire-format.ts";

/**
 * OpenAI's image generations (https://platform.openai.com/docs/api-reference/images). Models that bill tokens tell them as the
 * Responses API does; of an answer without figures nobody knows the cost, so it is charged what was set aside.
 */
const imagesWire: WireFormat = {
  ...responsesWire,
  name: "openai-images",
  path: "/images/generations",
  withoutFigures: "bound",
};
const mostImages = 10;

export function addImageRoutes(app: App, deps: CallDeps): void {
  addWholeAnswerRoute(app, deps, {
    url: "/v1/images/generations",
    endpoint: "images.generations",
    permission: "scope:ai:images",
    summary: "OpenAI image generation",
    body: ImageRequest,
    kind: "images",
    wire: imagesWire,
    reads: ["n", "stream", "size", "quality"],
    choicesIn: (fields) => {
      if (fields.flag("stream") === true) fields.refuse("stream", "must be false: images come whole");
      return fields.count("n", mostImages) ?? 1;
    },
    unitsIn: (fields, images) => {
      const [size, quality] = [fields.text("size", 20), fields.text("quality", 20)];
      return { images, ...kindOf(size, quality) };
    },
  });
}

/** What is left to the provider may be the dearest. */
function kindOf(size: string | undefined, quality: string | undefined): { imageKind?: string } {
  if (size === undefined || size === "auto" || quality === "auto") return {};
  return { imageKind: quality === undefined ? size : `${size}/${quality}` };
}
