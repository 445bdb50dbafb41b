/** Gathers pieces of bytes: a single one is kept as it is, many small ones cost their length and not an object each. */
export interface GrowingBuffer {
  push(piece: Buffer): void;
  size(): number;
  /** All of it; empty afterwards. `undefined` when nothing was gathered. */
  take(): Buffer | undefined;
}

export function growingBuffer(): GrowingBuffer {
  let bytes: Buffer | undefined;
  let length = 0;
  let isOurs = false;
  return {
    push(piece) {
      if (piece.length === 0) return;
      if (bytes === undefined) {
        bytes = piece;
      } else {
        const needed = length + piece.length;
        if (!isOurs || needed > bytes.length) {
          // Twice as large each time: copied a constant number of times on the whole.
          const larger = Buffer.allocUnsafe(Math.max(needed, 2 * length));
          bytes.copy(larger, 0, 0, length);
          bytes = larger;
          isOurs = true;
        }
        piece.copy(bytes, length);
      }
      length += piece.length;
    },
    size: () => length,
    take() {
      const all = bytes?.subarray(0, length);
      bytes = undefined;
      length = 0;
      isOurs = false;
      return all;
    },
  };
}
