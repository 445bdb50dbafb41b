import { ModerationRequest } from "@nexus/contracts/gateway";
import type { App } from "@nexus/http";
import type { CallDeps } from "../calls/call-deps.ts";
import { addWholeAnswerRoute } from "../calls/whole-answer-route.ts";
import { chatWire } from "../chat/chat-wire.ts";
import type { WireFormat } from "../wire/wire-format.ts";
import { moderateLocally } from "./moderate-locally.ts";

/** OpenAI's moderations: scores, without figures of usage (https://platform.openai.com/docs/api-reference/moderations). */
const moderationsWire: WireFormat = { ...chatWire, name: "openai-moderations", path: "/moderations", withoutFigures: "input" };

export function addModerationRoutes(app: App, deps: CallDeps): void {
  addWholeAnswerRoute(app, deps, {
    url: "/v1/moderations",
    endpoint: "moderations",
    permission: "scope:ai:moderations",
    summary: "OpenAI moderation",
    body: ModerationRequest,
    kind: "moderations",
    wire: moderationsWire,
    reads: [],
    choicesIn: () => 1,
    answerLocally: moderateLocally,
  });
}
