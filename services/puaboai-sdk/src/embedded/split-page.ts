import { type Passage } from "./passage.ts";

/** Longer sections are split between blocks, so that an answer quotes a few sentences and not a page. */
const longestPassage = 900;

/** Cuts a Markdown page into passages by heading. A code fence, a list or a table is never cut. */
export function splitPage(path: string, markdown: string): Passage[] {
  const passages: Passage[] = [];
  let title = path;
  let heading = "";
  let blocks: string[] = [];
  const flush = () => {
    for (const text of joinBlocks(blocks)) {
      passages.push({ path, title, heading: heading || title, anchor: anchorOf(heading || title), text });
    }
    blocks = [];
  };
  for (const block of blocksOf(markdown)) {
    const match = /^(#{1,4}) +(.+?) *#*$/.exec(block);
    if (!match) {
      blocks.push(block);
      continue;
    }
    flush();
    if (match[1] === "#") title = plainText(match[2] ?? "");
    heading = match[1] === "#" ? "" : plainText(match[2] ?? "");
  }
  flush();
  return passages;
}

/** Headings, paragraphs, lists, tables and code fences, each as one text. */
function blocksOf(markdown: string): string[] {
  const blocks: string[] = [];
  let open: string[] = [];
  let fence = "";
  const close = () => {
    if (open.length > 0) blocks.push(open.join("\n"));
    open = [];
  };
  for (const line of markdown.split(/\r?\n/)) {
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1] ?? "";
    if (fence !== "") {
      open.push(line);
      if (mark.startsWith(fence) && line.trim() === mark) fence = "";
    } else if (mark !== "") {
      fence = mark;
      open.push(line);
    } else if (line.trim() === "") close();
    else if (/^#{1,4} /.test(line)) {
      close();
      blocks.push(line);
    } else open.push(line);
  }
  close();
  return blocks;
}

/** Fills passages up to the length; a fence stays with the sentence that introduces it. */
function joinBlocks(blocks: readonly string[]): string[] {
  const texts: string[] = [];
  let text = "";
  for (const block of blocks) {
    const introduced = /^(?:`{3}|~{3})/.test(block) || text.endsWith(":");
    if (text !== "" && !introduced && text.length + block.length > longestPassage) {
      texts.push(text);
      text = "";
    }
    text += text === "" ? block : `\n\n${block}`;
  }
  if (text.trim() !== "") texts.push(text);
  return texts;
}

/** Markdown emphasis, code marks and links taken off. */
export function plainText(markdown: string): string {
  return markdown.replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll(/[*`]|(?<!\w)_|_(?!\w)/g, "");
}

/** The anchor GitHub gives a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
}
