import { findIn } from "./find-in.ts";
import type { Finding, FindingKind } from "./finding.ts";

/** The findings of a text, so many characters at a time, for those who have something else to do between them. */
export function* findInPieces(text: string, kinds: ReadonlySet<FindingKind>, pieceLength: number): Generator<Finding[]> {
  for (let from = 0; from < text.length;) {
    const to = from + pieceLength;
    const found = findIn(text, kinds, from, Math.min(to, text.length));
    yield found;
    from = Math.max(to, found.at(-1)?.end ?? 0);
  }
}
