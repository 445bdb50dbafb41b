/**
 * An OpenAI-compatible provider that does what a test says: answers, thinks, tears frames, dies. It keeps what it received as raw
 * bytes, to prove that nothing was changed on the way.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

export interface ReceivedRequest {
  method: string;
  path: string;
  /** Names in lower case. */
  headers: IncomingMessage["headers"];
  body: Buffer;
  /** `performance.now()` when the other side went away before the answer was complete. */
  abortedAt: number | undefined;
}

/** Answers one request. What it throws closes the connection. */
export type UpstreamScript = (response: ServerResponse, request: ReceivedRequest) => void | Promise<void>;

export interface FakeUpstream {
  /** `http://127.0.0.1:<port>/v1` */
  baseUrl: string;
  /** Everything received so far, oldest first. */
  received: ReceivedRequest[];
  /** From now on requests are answered so. */
  answerWith(script: UpstreamScript): void;
  /** Ends every connection at once and the server with them. */
  close(): Promise<void>;
}

export async function startFakeUpstream(script: UpstreamScript = chatAnswer()): Promise<FakeUpstream> {
  const received: ReceivedRequest[] = [];
  const sockets = new Set<Socket>();
  let answer = script;
  const server = createServer((request, response) => void serve(request, response));
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const { method = "", url: path = "", headers } = request;
      const entry: ReceivedRequest = { method, path, headers, body: Buffer.concat(chunks), abortedAt: undefined };
      response.on("close", () => {
        if (!response.writableFinished) entry.abortedAt = performance.now();
      });
      received.push(entry);
      await answer(response, entry);
    } catch {
      request.socket.destroy();
    }
  }

  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    received,
    answerWith: (next) => {
      answer = next;
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

export const fakeUsage = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 };

/** A whole answer in one piece; `body` replaces it byte for byte. */
export function chatAnswer(
  options: { text?: string; usage?: object | null; body?: string | Buffer; delayMs?: number; status?: number } = {},
): UpstreamScript {
  const { text = "hello", usage = fakeUsage, delayMs = 0, status = 200 } = options;
  const message = { role: "assistant", content: text, refusal: null };
  const document = {
    id: "chatcmpl-fake",
    object: "chat.completion",
    created: 1_700_000_000,
    model: "fake-model",
    choices: [{ index: 0, message, logprobs: null, finish_reason: "stop" }],
    ...(usage ? { usage } : {}),
  };
  return async (response) => {
    if (delayMs > 0) await delay(delayMs);
    response.writeHead(status, { "content-type": "application/json" }).end(options.body ?? JSON.stringify(document));
  };
}

export function embeddingAnswer(options: { vectors?: number[][]; promptTokens?: number } = {}): UpstreamScript {
  const { vectors = [[0.25, -0.5]], promptTokens = 5 } = options;
  const data = vectors.map((embedding, index) => ({ object: "embedding", index, embedding }));
  const usage = { prompt_tokens: promptTokens, total_tokens: promptTokens };
  return (response) => {
    response
      .writeHead(200, { "content-type": "application/json" })
      .end(JSON.stringify({ object: "list", data, model: "fake-embedding", usage }));
  };
}

interface StreamOptions {
  /** One frame for each. */
  texts?: string[];
  /** Sent as OpenAI does: only when the request asked for it; `always` and `never` are lies that occur. */
  usage?: "asked" | "always" | "never";
  /** Before the first frame, and between frames. */
  firstDelayMs?: number;
  delayMs?: number;
  /** After that many frames the connection is cut in the middle of the next one. */
  dieAfter?: number;
  /** Every write carries only that many bytes. */
  pieceBytes?: number;
  /** Without the closing `[DONE]`. */
  withoutDone?: boolean;
}

/** A streamed answer, as server-sent events. */
export function chatStream(options: StreamOptions = {}): UpstreamScript {
  const { texts = ["hel", "lo"], usage = "asked", firstDelayMs = 0, delayMs = 0 } = options;
  return async (response, request) => {
    const asked = /"include_usage"\s*:\s*true/.test(request.body.toString());
    const sendsUsage = usage === "always" || (usage === "asked" && asked);
    const frames = texts.map((content, at) => {
      const delta = at === 0 ? { role: "assistant", content } : { content };
      return frameOf([{ index: 0, delta, finish_reason: null }], sendsUsage ? null : undefined);
    });
    frames.push(frameOf([{ index: 0, delta: {}, finish_reason: "stop" }], sendsUsage ? null : undefined));
    if (sendsUsage) frames.push(frameOf([], fakeUsage));
    if (!options.withoutDone) frames.push("data: [DONE]\n\n");
    if (firstDelayMs > 0) await delay(firstDelayMs);
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
    for (const [index, frame] of frames.entries()) {
      if (response.destroyed) return;
      if (index === options.dieAfter) {
        response.write(frame.slice(0, frame.length / 2), () => response.destroy());
        return;
      }
      await writePieces(response, frame, options.pieceBytes ?? frame.length);
      if (delayMs > 0) await delay(delayMs);
    }
    response.end();
  };
}

/** What a broken proxy before a provider sends. */
export function htmlError(status: number): UpstreamScript {
  return (response) => {
    response.writeHead(status, { "content-type": "text/html" }).end("<html><h1>Bad gateway at 10.1.2.3</h1></html>");
  };
}

/** Takes the request and says nothing until the other side gives up. */
export function silence(): UpstreamScript {
  return (response) => new Promise((resolve) => response.on("close", resolve));
}

function frameOf(choices: object[], usage: object | null | undefined): string {
  const chunk = { id: "chatcmpl-fake", object: "chat.completion.chunk", created: 1_700_000_000, model: "fake-model", choices };
  return `data: ${JSON.stringify(usage === undefined ? chunk : { ...chunk, usage })}\n\n`;
}

async function writePieces(response: ServerResponse, text: string, pieceBytes: number): Promise<void> {
  for (let at = 0; at < text.length; at += pieceBytes) {
    response.write(text.slice(at, at + pieceBytes));
    if (at + pieceBytes < text.length) await delay(1);
  }
}
