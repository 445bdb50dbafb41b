import type { Passage } from "./passage.ts";

/** Longer sections are split between blocks, so that an answer quotes a few sentences and not a page. */
const longestPassage = 900;

/** Cuts a Markdown page into passages by heading. A short page is one passage; a code fence or a list is never cut. */
export function splitPage(path: string, markdown: string): Passage[] {
  const [first = "", ...rest] = blocksOf(markdown);
  if (markdown.length <= longestPassage && first.startsWith("# ") && rest.length > 0) {
    const title = plainText(first.slice(2));
    return [{ path, title, heading: title, anchor: anchorOf(title), text: rest.join("\n\n") }];
  }
  return splitByHeading(path, markdown);
}

function splitByHeading(path: string, markdown: string): Passage[] {
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
    const block = open.join("\n");
    if (block !== "" && !/^<!--[^]*-->$/.test(block)) blocks.push(block);
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
  for (const block of blocks.flatMap(tableParts)) {
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

/** A long table as several short ones, each with the head: a question is about a row or two. */
function tableParts(block: string): string[] {
  const [head = "", rule = "", ...rows] = block.split("\n");
  if (block.length <= longestPassage || !head.startsWith("|") || !rule.startsWith("|")) return [block];
  const parts: string[][] = [];
  for (const row of rows) {
    const open = parts.at(-1);
    if (open && open.join("\n").length + row.length <= longestPassage) open.push(row);
    else parts.push([head, rule, row]);
  }
  return parts.map((lines) => lines.join("\n"));
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
