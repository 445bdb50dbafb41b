import { errorFrame } from "../calls/openai-error.ts";
import { convertChatRequest } from "./chat-to-messages-request.ts";
import { type AnswerIdentity, type Conversion, eventsIn, isJsonObject, type JsonObject } from "./conversion.ts";
import { chatAnswerOf, chatErrorOf, openChunks } from "./messages-to-chat-answer.ts";

interface Asked extends AnswerIdentity {
  /** The client's request, checked to be a JSON object. */
  body: Buffer;
  wantsUsage: boolean;
  upstreamModel: string;
  maxOutputTokens: number;
}

/** A chat completion that a provider of Anthropic's Messages API answers. @throws Problem `invalid_request` */
export function chatByMessages({ body, wantsUsage, ...asked }: Asked): Conversion {
  const { body: converted, lost, answerTool } = convertChatRequest(objectIn(body), asked);
  const { id, created, model } = asked;
  const options = { id, created, model, wantsUsage, answerTool };
  const chunkOf = openChunks(options);
  return {
    body: Buffer.from(JSON.stringify(converted)),
    lost,
    answer: (answer) => Buffer.from(JSON.stringify(chatAnswerOf(objectIn(answer), options))),
    refusal: (answer) => Buffer.from(JSON.stringify(chatErrorOf(objectIn(answer)))),
    frames: (frames) => {
      const text = eventsIn(frames).map(chunkOf).join("");
      return text === "" ? undefined : Buffer.from(text);
    },
    errorFrame,
  };
}

function objectIn(json: Buffer): JsonObject {
  const value: unknown = JSON.parse(json.toString());
  if (isJsonObject(value)) return value;
  throw new TypeError("no JSON object");
}
