/**
 * Stands in for a model provider, at no cost worth naming: one fixed completion, or where the request asks for a stream,
 * 50 frames. Argument: milliseconds between two frames; 0: as fast as it can, each in a write of its own.
 */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const frameMs = Number(process.argv[2] ?? 0);
const usage = { prompt_tokens: 12, completion_tokens: 50, total_tokens: 62 };
const base = { id: "chatcmpl-bench", created: 1_700_000_000, model: "bench" };
const message = { role: "assistant", content: "word ".repeat(50), refusal: null };
const completion = Buffer.from(
  JSON.stringify({
    ...base,
    object: "chat.completion",
    choices: [{ index: 0, message, logprobs: null, finish_reason: "stop" }],
    usage,
  }),
);
const frames = Array.from({ length: 50 }, () =>
  frame({ choices: [{ index: 0, delta: { content: "word " }, finish_reason: null }] }),
);
const last = frame({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
const end = `${frame({ choices: [], usage })}data: [DONE]\n\n`;

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    if (!Buffer.concat(chunks).includes('"stream":true')) {
      response.writeHead(200, { "content-type": "application/json", "content-length": completion.length }).end(completion);
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    sendFrames(response, 0);
  });
});
server.keepAliveTimeout = 120_000;
server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on("disconnect", () => process.exit(0));

function sendFrames(response: ServerResponse, index: number): void {
  if (response.destroyed) return;
  const text = frames[index];
  if (text === undefined) {
    response.end(last + end);
    return;
  }
  response.write(text);
  if (frameMs === 0) setImmediate(sendFrames, response, index + 1);
  else setTimeout(sendFrames, frameMs, response, index + 1);
}

function frame(members: object): string {
  return `data: ${JSON.stringify({ ...base, object: "chat.completion.chunk", ...members })}\n\n`;
}
