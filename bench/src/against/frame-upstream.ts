/**
 * Stands in for a model provider that streams at a steady pace: as many frames as `max_tokens` asks for, each with its number and
 * the moment of its writing. Argument: milliseconds between two frames. A frame that is due late is sent at once, so the pace holds.
 * It speaks HTTP on bare sockets, one write a frame, to leave the cores to what is measured.
 */
import { type AddressInfo, createServer, type Socket } from "node:net";
import { stampedFrame } from "../load/frame-stamp.ts";

const frameMs = Number(process.argv[2] ?? 20);
const head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

interface Stream {
  socket: Socket;
  startedAt: number;
  frames: number;
  sent: number;
}

const server = createServer({ noDelay: true }, (socket) => {
  let request = "";
  socket.on("data", (chunk: Buffer) => {
    request += chunk.toString("latin1");
    const headEnd = request.indexOf("\r\n\r\n");
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(request)?.[1] ?? 0);
    if (headEnd === -1 || request.length < headEnd + 4 + length) return;
    const frames = Number(/"max_tokens":(\d+)/.exec(request)?.[1] ?? 0);
    request = "";
    socket.write(head);
    sendNext({ socket, startedAt: performance.now(), frames, sent: 0 });
  });
  socket.on("error", () => {});
});
server.listen(0, "127.0.0.1", 4096, () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on("disconnect", () => process.exit(0));

function sendNext(stream: Stream): void {
  const { socket } = stream;
  if (socket.destroyed) return;
  if (stream.sent === stream.frames) {
    const usage = { prompt_tokens: 12, completion_tokens: stream.frames, total_tokens: 12 + stream.frames };
    const last = chunkOf(`data: ${JSON.stringify({ id: "chatcmpl-bench", choices: [], usage })}\n\ndata: [DONE]\n\n`);
    socket.write(`${last}0\r\n\r\n`, "latin1");
    return;
  }
  socket.write(chunkOf(stampedFrame(stream.sent++)), "latin1");
  const dueAt = stream.startedAt + stream.sent * frameMs;
  setTimeout(sendNext, Math.max(1, Math.round(dueAt - performance.now())), stream);
}

function chunkOf(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`;
}
