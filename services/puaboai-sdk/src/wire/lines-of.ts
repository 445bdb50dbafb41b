/**
 * The lines of a frame as a client reads them: a byte order mark is no part of the first, and a carriage return alone ends one
 * (WHATWG HTML §9.2.5). One before a newline stays where it is.
 */
export function linesOf(frame: string): string[] {
  const text = frame.startsWith("\uFEFF") ? frame.slice(1) : frame;
  return (text.includes("\r") ? text.replaceAll(/\r(?!\n)/g, "\n") : text).split("\n");
}
