import { openChatStreamReader, readChatAnswer } from "./chat/read-chat-answer.ts";
import { readChatRequest } from "./chat/read-chat-request.ts";
import { openChatStreamWriter, writeChatAnswer } from "./chat/write-chat-answer.ts";
import { writeChatRequest } from "./chat/write-chat-request.ts";
import { writeOpenAiError } from "./chat/write-openai-error.ts";
import { openConverseStreamReader, readConverseAnswer } from "./converse/read-converse-answer.ts";
import { writeConverseRequest } from "./converse/write-converse-request.ts";
import { openGeminiStreamReader, readGeminiAnswer } from "./gemini/read-gemini-answer.ts";
import { writeGeminiRequest } from "./gemini/write-gemini-request.ts";
import { openMessagesStreamWriter } from "./messages/open-messages-stream-writer.ts";
import { openMessagesStreamReader, readMessagesAnswer } from "./messages/read-messages-answer.ts";
import { readMessagesRequest } from "./messages/read-messages-request.ts";
import { writeMessagesAnswer, writeMessagesError } from "./messages/write-messages-answer.ts";
import { writeMessagesRequest } from "./messages/write-messages-request.ts";
import { openResponsesStreamWriter } from "./responses/open-responses-stream-writer.ts";
import { openResponsesStreamReader, readResponsesAnswer } from "./responses/read-responses-answer.ts";
import { readResponsesRequest } from "./responses/read-responses-request.ts";
import { writeResponsesAnswer } from "./responses/write-responses-answer.ts";
import { writeResponsesRequest } from "./responses/write-responses-request.ts";
import type { ClientDialect, Translator, UpstreamFormat } from "./translator.ts";
import { translator } from "./translator.ts";

const clients = {
  "openai-chat": {
    readRequest: readChatRequest,
    writeAnswer: writeChatAnswer,
    openStreamWriter: openChatStreamWriter,
    writeError: writeOpenAiError,
  },
  "anthropic-messages": {
    readRequest: readMessagesRequest,
    writeAnswer: writeMessagesAnswer,
    openStreamWriter: openMessagesStreamWriter,
    writeError: writeMessagesError,
  },
  "openai-responses": {
    readRequest: readResponsesRequest,
    writeAnswer: writeResponsesAnswer,
    openStreamWriter: openResponsesStreamWriter,
    writeError: writeOpenAiError,
  },
} as const satisfies Record<string, ClientDialect>;

const upstreams = {
  "openai-chat": { writeRequest: writeChatRequest, readAnswer: readChatAnswer, openStreamReader: openChatStreamReader },
  "anthropic-messages": {
    writeRequest: writeMessagesRequest,
    readAnswer: readMessagesAnswer,
    openStreamReader: openMessagesStreamReader,
  },
  "openai-responses": {
    writeRequest: writeResponsesRequest,
    readAnswer: readResponsesAnswer,
    openStreamReader: openResponsesStreamReader,
  },
  "bedrock-converse": {
    writeRequest: writeConverseRequest,
    readAnswer: readConverseAnswer,
    openStreamReader: openConverseStreamReader,
  },
  gemini: { writeRequest: writeGeminiRequest, readAnswer: readGeminiAnswer, openStreamReader: openGeminiStreamReader },
} as const satisfies Record<string, UpstreamFormat>;

export type ClientDialectName = keyof typeof clients;
export type UpstreamFormatName = keyof typeof upstreams;

/** @internal */
export const clientDialects = Object.keys(clients) as ClientDialectName[];
/** @internal */
export const upstreamFormats = Object.keys(upstreams) as UpstreamFormatName[];

/** For dialects that differ; where they are the same the bytes pass through and nothing is translated. */
export function translatorBetween(client: ClientDialectName, upstream: UpstreamFormatName): Translator {
  return translator(clients[client], upstreams[upstream]);
}
