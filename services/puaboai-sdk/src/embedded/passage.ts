/** One quotable part of a documentation page: at most one heading's text. */
export interface Passage {
  /** Path from the repository root: `docs/api-keys.md`. */
  path: string;
  /** The page's first heading. */
  title: string;
  /** The heading the passage stands under; the title when it stands before the second heading. */
  heading: string;
  /** GitHub's anchor of that heading. */
  anchor: string;
  /** Markdown, whole blocks. */
  text: string;
}

/** `docs/api-keys.md#revoke-a-key`. */
export function addressOf(passage: Passage): string {
  return passage.heading === passage.title ? passage.path : `${passage.path}#${passage.anchor}`;
}
