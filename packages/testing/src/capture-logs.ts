import { Writable } from "node:stream";

/** A place for a logger to write to, read back as text: to look for what must not be in it. */
export function captureLogs(): { stream: NodeJS.WritableStream; text(): string; lines(): Record<string, unknown>[] } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write: (chunk: Buffer | string, _encoding, done) => {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  const text = (): string => Buffer.concat(chunks).toString();
  const lines = (): Record<string, unknown>[] =>
    text()
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { stream, text, lines };
}
