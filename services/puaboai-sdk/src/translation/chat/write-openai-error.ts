import type { JsonObject } from "../../json/members.ts";
import { openAiErrorType } from "../../wire/openai-error.ts";
import type { UpstreamError } from "../answer.ts";

/** What a provider says went wrong, in the error shape of OpenAI's API. */
export function writeOpenAiError({ status, message, code }: UpstreamError): JsonObject {
  return { error: { message, type: openAiErrorType(status), param: null, code: code ?? null } };
}
