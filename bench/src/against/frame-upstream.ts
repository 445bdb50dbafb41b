/**
 * Stands in for a model provider that streams at a steady pace: as many frames as `max_tokens` asks for, each with its number and
 * the moment of its writing. Argument: milliseconds between two frames. A frame that is due late is sent at once, so the pace holds.
 */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { stampedFrame } from "../load/frame-stamp.ts";

const frameMs = Number(process.argv[2] ?? 20);

interface Stream {
  response: ServerResponse;
  startedAt: number;
  frames: number;
  sent: number;
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const frames = Number(/"max_tokens":(\d+)/.exec(Buffer.concat(chunks).toString("latin1"))?.[1] ?? 0);
    response.writeHead(200, { "content-type": "text/event-stream" });
    sendNext({ response, startedAt: performance.now(), frames, sent: 0 });
  });
});
server.keepAliveTimeout = 120_000;
server.listen(0, "127.0.0.1", 4096, () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on("disconnect", () => process.exit(0));

function sendNext(stream: Stream): void {
  const { response } = stream;
  if (response.destroyed) return;
  if (stream.sent === stream.frames) {
    const usage = { prompt_tokens: 12, completion_tokens: stream.frames, total_tokens: 12 + stream.frames };
    response.end(`data: ${JSON.stringify({ id: "chatcmpl-bench", choices: [], usage })}\n\ndata: [DONE]\n\n`);
    return;
  }
  response.write(stampedFrame(stream.sent++));
  const dueAt = stream.startedAt + stream.sent * frameMs;
  setTimeout(sendNext, Math.max(1, Math.round(dueAt - performance.now())), stream);
}
