/**
 * Stands in for a model provider that keeps its own account of what it bills: 30 tokens in and half of `max_tokens` out, whole or
 * streamed, sometimes an error that costs nothing. Asked by its parent ("bills"), it tells what each request cost since the last time.
 */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Bills } from "./bills.ts";

/** Nano-dollars a token, as the models' prices in the settings have them. */
const [inputNanos, outputNanos, inputTokens] = [1000, 2000, 30];
let bills: Bills = [];

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    void answer(Buffer.concat(chunks).toString(), String(request.headers["x-request-id"]), response);
  });
});
server.listen(0, "127.0.0.1", 4096, () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on("message", () => {
  process.send?.(bills);
  bills = [];
});
process.on("disconnect", () => process.exit(0));

async function answer(body: string, requestId: string, response: ServerResponse): Promise<void> {
  const { max_tokens: cap, stream, user } = JSON.parse(body) as { max_tokens: number; stream?: boolean; user?: string };
  const fails = user === "fails";
  const outputTokens = Math.ceil(cap / 2);
  // Also of a call that is given up: at most this.
  bills.push({ requestId, nanos: fails ? 0 : inputTokens * inputNanos + outputTokens * outputNanos });
  await delay(20 + Math.random() * 60);
  const usage = { prompt_tokens: inputTokens, completion_tokens: outputTokens };
  if (fails) return void response.writeHead(500, { "content-type": "application/json" }).end('{"error":{"message":"no"}}');
  if (stream !== true) {
    const whole = JSON.stringify({ id: "c", object: "chat.completion", created: 1, model: "bench", choices: [], usage });
    return void response.writeHead(200, { "content-type": "application/json" }).end(whole);
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (let frame = 0; frame < 5 && !response.destroyed; frame++) {
    response.write(`data: {"id":"c","choices":[{"index":0,"delta":{"content":"w"}}]}\n\n`);
    await delay(15);
  }
  response.end(`data: ${JSON.stringify({ id: "c", choices: [], usage })}\n\ndata: [DONE]\n\n`);
}
