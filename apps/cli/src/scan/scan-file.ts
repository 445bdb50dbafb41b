import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { type FoundKey, type KeyFinder, openKeyFinder } from "./find-keys.ts";

/** Never follows a link, never waits for the other end of a pipe, whatever stands there by now. */
const openFlags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

export interface FileScanner {
  /** Bytes of the file; `undefined` for what is no regular file. @throws the system's error when it cannot be read to its end */
  scan(path: string, found: (key: FoundKey) => void): number | undefined;
}

/**
 * Synchronous: for one process that does nothing else this is twice as fast on small files as waiting for each step.
 * Lines are counted only where there is a key: files with one beyond the first piece are read a second time.
 */
export function openFileScanner(): FileScanner {
  let found: (key: FoundKey) => void = () => {};
  /** Keys at or beyond this byte are not reported yet. */
  let reported = 0;
  let unplaced = false;
  const fast = openKeyFinder({ countLines: false }, (key) => {
    unplaced = key.line === 0;
    if (unplaced) return false;
    reported = key.offset + 1;
    found(key);
    return true;
  });
  const counting = openKeyFinder({ countLines: true }, (key) => {
    if (key.offset >= reported) found(key);
  });

  return {
    scan(path, onFound) {
      const fd = openSync(path, openFlags);
      try {
        if (!fstatSync(fd).isFile()) return undefined;
        found = onFound;
        reported = 0;
        unplaced = false;
        const size = readInto(fast, fd, () => unplaced);
        return unplaced ? readInto(counting, fd, () => false) : size;
      } finally {
        closeSync(fd);
      }
    },
  };
}

function readInto(finder: KeyFinder, fd: number, stop: () => boolean): number {
  finder.reset();
  let position = 0;
  for (;;) {
    const count = readSync(fd, finder.space(), { position });
    if (count === 0) return position;
    position += count;
    finder.filled(count);
    if (stop()) return position;
  }
}
