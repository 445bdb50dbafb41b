/** Frames that tell their number and when they were written, in places of fixed width, so that reading 50,000 a second is cheap. */

const marker = '"content":"';
const [numberDigits, timeDigits] = [6, 15];
const stampBytes = marker.length + numberDigits + 1 + timeDigits;
const markerBytes = Buffer.from(marker);
const frameEnd = Buffer.from("\n\n");

/** Microseconds on a clock that all processes of a machine share (CLOCK_MONOTONIC). */
export function sharedMicros(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

export function stampedFrame(number: number): string {
  const stamp = `${String(number).padStart(numberDigits, "0")}:${String(sharedMicros()).padStart(timeDigits, "0")}`;
  const delta = `"delta":{${marker}${stamp}"}`;
  const head = `"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench"`;
  return `data: {${head},"choices":[{"index":0,${delta},"finish_reason":null}]}\n\n`;
}

export interface StampReader {
  /** @returns how many whole frames this read completed */
  push(chunk: Buffer): number;
}

/** @param onFrame hears of each whole frame: its number and when it was written, in microseconds */
export function stampReader(onFrame: (number: number, writtenAt: number) => void): StampReader {
  let rest: Buffer | undefined;
  return {
    push(chunk) {
      const bytes = rest ? Buffer.concat([rest, chunk]) : chunk;
      const end = bytes.lastIndexOf(frameEnd) + frameEnd.length;
      let frames = 0;
      if (end >= frameEnd.length) {
        for (let at = bytes.indexOf(markerBytes); at !== -1 && at < end; at = bytes.indexOf(markerBytes, at + stampBytes)) {
          const stampAt = at + marker.length;
          onFrame(digits(bytes, stampAt, numberDigits), digits(bytes, stampAt + numberDigits + 1, timeDigits));
          frames++;
        }
      }
      // What ends a chunk of the transfer follows each frame and holds nothing of the next.
      const left = end >= frameEnd.length ? bytes.subarray(end) : bytes;
      rest = left.length > 2 ? left : undefined;
      return frames;
    },
  };
}

function digits(bytes: Buffer, start: number, count: number): number {
  let value = 0;
  for (let at = start; at < start + count; at++) value = value * 10 + (bytes[at] ?? 48) - 48;
  return value;
}
