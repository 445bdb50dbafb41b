/**
 * A model that runs inside the gateway. It only produces text or vectors and counts its tokens: dialect, streaming frames,
 * limits and metering are the gateway's, so that a local model can be forgotten by everything but the routes.
 */

/** One turn, already reduced to text; the parts of a multi-part message stand joined by a line break. */
export interface LocalMessage {
  role: "system" | "user" | "assistant" | "tool";
  text: string;
}

export interface LocalChatRequest {
  messages: readonly LocalMessage[];
  /** No more than this many tokens may be answered; `undefined`: the model's own maximum. */
  maximumOutputTokens: number | undefined;
}

/** Any number of `text` parts, then exactly one `end` with the figures that are billed and shown. */
export type LocalChatPart =
  | { kind: "text"; text: string }
  | { kind: "end"; finishReason: "stop" | "length"; inputTokens: number; outputTokens: number };

interface LocalModelFacts {
  /** The name clients call, such as `embedded-echo`. */
  readonly id: string;
  /** One sentence for `GET /v1/models`. */
  readonly description: string;
  /** Longest input, tokens. */
  readonly contextTokens: number;
  /** Not a real language model: answers carry `x-nexus-demo: true`. */
  readonly demo: boolean;
}

export interface LocalChatModel extends LocalModelFacts {
  readonly kind: "chat";
  readonly maximumOutputTokens: number;
  /**
   * Must stop at once, by throwing the signal's reason, when `signal` aborts.
   * @throws Problem `unavailable` when the model cannot be loaded, `invalid_request` when the input does not fit it
   */
  chat(request: LocalChatRequest, signal: AbortSignal): AsyncIterable<LocalChatPart>;
}

export interface LocalEmbeddingModel extends LocalModelFacts {
  readonly kind: "embeddings";
  readonly dimensions: number;
  /** One vector of `dimensions` numbers for each input, in order. Same errors as `chat`. */
  embed(inputs: readonly string[], signal: AbortSignal): Promise<{ vectors: Float32Array[]; inputTokens: number }>;
}

export interface LocalModerationModel extends LocalModelFacts {
  readonly kind: "moderations";
  /** For each input, in order, how much it is of each kind that the model looks for, 0 to 1; from 0.5 on it is flagged. Same errors as `chat`. */
  moderate(inputs: readonly string[], signal: AbortSignal): Promise<{ scores: Record<string, number>[]; inputTokens: number }>;
}

export type LocalModel = LocalChatModel | LocalEmbeddingModel | LocalModerationModel;

/** The models of one process and what they hold (worker threads, files). */
export interface LocalModels {
  readonly models: readonly LocalModel[];
  close(): Promise<void>;
}
