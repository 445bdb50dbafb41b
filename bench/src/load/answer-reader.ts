/** Finds the end of HTTP/1.1 answers in a stream of bytes; knows Content-Length and chunks that end in the usual way. */

export interface AnswerReader {
  /** Hears of each whole answer. */
  push(chunk: Buffer): void;
}

interface Events {
  onBody(): void;
  onAnswer(status: number, reads: number): void;
}

const headEnd = Buffer.from("\r\n\r\n");
const lastChunk = Buffer.from("0\r\n\r\n");

export function answerReader(events: Events): AnswerReader {
  let head: Buffer = Buffer.alloc(0);
  let status = 0;
  // Bytes of the body that are still to come; `undefined` while reading a head, `Infinity` for chunks.
  let missing: number | undefined;
  let reads = 0;

  const readHead = (chunk: Buffer): Buffer | undefined => {
    head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
    const end = head.indexOf(headEnd);
    if (end === -1) return undefined;
    const text = head.toString("latin1", 0, end);
    status = Number(text.slice(9, 12));
    const length = /\r\ncontent-length: *(\d+)/i.exec(text)?.[1];
    missing = length === undefined ? Infinity : Number(length);
    const rest = head.subarray(end + 4);
    head = Buffer.alloc(0);
    return rest;
  };
  const finish = (): void => {
    const counted = reads;
    reads = 0;
    missing = undefined;
    events.onAnswer(status, counted);
  };

  return {
    push(chunk) {
      const starts = missing === undefined;
      const body = starts ? readHead(chunk) : chunk;
      if (body === undefined || missing === undefined) return;
      if (body.length > 0) {
        if (reads === 0) events.onBody();
        reads++;
      }
      missing -= body.length;
      const ended = missing === Infinity ? body.subarray(-lastChunk.length).equals(lastChunk) : missing <= 0;
      if (ended) finish();
    },
  };
}
