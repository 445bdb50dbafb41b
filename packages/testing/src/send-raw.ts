/** A request as bytes, for what no HTTP client would send. */
import { connect, type Socket } from "node:net";

interface RawAnswer {
  /** 0 where none came. */
  status: number;
  /** Names in lower case; the last of several. */
  headers: Readonly<Record<string, string>>;
  body: string;
}

export interface RawExchange {
  socket: Socket;
  /** Everything that came until the other side closed. */
  answer: Promise<RawAnswer>;
}

/** Sends exactly these bytes and keeps the connection open. */
export function sendRaw(url: string, bytes: string | Buffer): RawExchange {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => void chunks.push(chunk));
  const answer = new Promise<RawAnswer>((resolve) => {
    socket.on("error", () => {});
    socket.on("close", () => resolve(parse(Buffer.concat(chunks).toString("latin1"))));
  });
  socket.write(bytes);
  return { socket, answer };
}

function parse(text: string): RawAnswer {
  const [head = "", ...rest] = text.split("\r\n\r\n");
  const [first = "", ...lines] = head.split("\r\n");
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1] ?? 0), headers, body: rest.join("\r\n\r\n") };
}
