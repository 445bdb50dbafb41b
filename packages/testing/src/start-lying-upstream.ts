/** A model provider as bytes on a socket, for what no HTTP server would send: it lies, tears, floods and falls silent. */
import { createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

interface LyingRequest {
  /** The head as it came. */
  head: string;
  path: string;
  body: string;
  /** The how many-th request on its connection; the first is 1. */
  nth: number;
}

/** Answers one request with whatever bytes it likes. */
export type LyingScript = (socket: Socket, request: LyingRequest) => void | Promise<void>;

export interface LyingUpstream {
  /** `http://127.0.0.1:<port>/v1` */
  baseUrl: string;
  /** Connections that stand now. */
  connections(): number;
  /** Connections that ever were. */
  accepted(): number;
  answerWith(script: LyingScript): void;
  /** Called with each new connection before anything was read from it. */
  greetWith(greeting: (socket: Socket) => void): void;
  close(): Promise<void>;
}

export async function startLyingUpstream(): Promise<LyingUpstream> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  let script: LyingScript = (socket) => void socket.destroy();
  let greeting: (socket: Socket) => void = () => {};
  const server = createServer((socket) => {
    accepted++;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    greeting(socket);
    let nth = 0;
    let received = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      const headEnd = received.indexOf("\r\n\r\n");
      if (headEnd === -1) return;
      const head = received.toString("latin1", 0, headEnd);
      const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
      if (received.length < headEnd + 4 + length) return;
      const body = received.toString("utf8", headEnd + 4, headEnd + 4 + length);
      received = received.subarray(headEnd + 4 + length);
      nth++;
      void script(socket, { head, path: head.split(" ", 2)[1] ?? "", body, nth });
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    connections: () => sockets.size,
    accepted: () => accepted,
    answerWith: (next) => {
      script = next;
      greeting = () => {};
    },
    greetWith: (next) => {
      greeting = next;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
