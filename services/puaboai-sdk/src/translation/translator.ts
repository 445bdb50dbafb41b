import type { JsonObject } from "../json/members.ts";
import {
  type Answer,
  type AnswerEvent,
  type AnswerOptions,
  readUpstreamError,
  type SseEvent,
  type StreamOptions,
  type StreamReader,
  type StreamWriter,
  type UpstreamError,
} from "./answer.ts";
import type { Conversation } from "./conversation.ts";

/** From the dialect of a client to the format of an upstream, and back. */
export interface Translator {
  /**
   * The upstream's request body; `lost` names (JSON pointers) what could not be carried.
   * @throws Problem `invalid_request` naming the field
   */
  request(body: JsonObject, options: RequestOptions): { body: JsonObject; lost: string[] };
  /** A whole upstream answer in the client's dialect. @throws Problem `upstream_failed` for what is no answer */
  answer(body: JsonObject, options: AnswerOptions): JsonObject;
  /** Upstream events in, client frames out, ready to send; one instance a stream. */
  stream(options: StreamOptions): TranslatedStream;
  /** An upstream's error body in the client's dialect. */
  error(status: number, body: JsonObject): JsonObject;
}

interface TranslatedStream {
  push(event: SseEvent): string[];
  /** The upstream's connection ended. A stream that lacks its end is told to the client as an error. */
  end(): string[];
  /** The client was told that the stream has failed. */
  hasFailed(): boolean;
}

export interface RequestOptions {
  /** As the upstream names it. */
  model: string;
  /** Tokens, reasoning included. */
  maxOutputTokens: number;
}

/** What a client's dialect brings. */
export interface ClientDialect {
  /** @throws Problem `invalid_request` naming the field */
  readRequest(body: JsonObject): Conversation;
  writeAnswer(answer: Answer, options: AnswerOptions): JsonObject;
  /** @param failed called when it tells the client an error of its own */
  openStreamWriter(options: StreamOptions, failed: () => void): StreamWriter;
  writeError(error: UpstreamError): JsonObject;
}

/** What an upstream's format brings. */
export interface UpstreamFormat {
  /** @throws Problem `invalid_request` naming what this upstream can have in no form */
  writeRequest(talk: Conversation, options: RequestOptions): { body: JsonObject; lost: string[] };
  /** @throws Problem `upstream_failed` */
  readAnswer(body: JsonObject): Answer;
  openStreamReader(): StreamReader;
}

const cutShort: AnswerEvent = {
  type: "error",
  error: { status: 502, message: "The model provider ended its answer before it was whole.", code: "upstream_failed" },
};

export function translator(client: ClientDialect, upstream: UpstreamFormat): Translator {
  return {
    request(body, options) {
      const talk = client.readRequest(body);
      const { body: written, lost } = upstream.writeRequest(talk, options);
      return { body: written, lost: [...new Set([...talk.lost, ...lost])] };
    },
    answer: (body, options) => client.writeAnswer(upstream.readAnswer(body), options),
    stream(options) {
      const read = upstream.openStreamReader();
      let failed = false;
      const write = client.openStreamWriter(options, () => void (failed = true));
      let finished = false;
      let over = false;
      const take = (event: AnswerEvent): string[] => {
        if (over) return [];
        finished ||= event.type === "finish";
        const told = event.type === "end" && !finished ? cutShort : event;
        failed ||= told.type === "error";
        over = told.type === "end" || failed;
        return write(told);
      };
      return { push: (event) => read(event).flatMap(take), end: () => take({ type: "end" }), hasFailed: () => failed };
    },
    error: (status, body) => client.writeError(readUpstreamError(status, body)),
  };
}
