import { expect, test } from "vitest";
import { addressOf } from "./passage.ts";
import { plainText, splitPage } from "./split-page.ts";

const page = `# API keys

What a key is.

## Create a \`key\`: how

Like this:

\`\`\`sh
# not a heading

curl x
\`\`\`

### Answer
201.
`;

test("a page is cut by heading, each passage with its address", () => {
  expect(
    splitPage("docs/api-keys.md", `${page}\n## Long\n\n${"x ".repeat(500)}`)
      .slice(0, 3)
      .map((p) => [addressOf(p), p.text]),
  ).toStrictEqual([
    ["docs/api-keys.md", "What a key is."],
    ["docs/api-keys.md#create-a-key-how", "Like this:\n\n```sh\n# not a heading\n\ncurl x\n```"],
    ["docs/api-keys.md#answer", "201."],
  ]);
});

test("a long section is cut between blocks and loses nothing", () => {
  const blocks = Array.from({ length: 20 }, (_, i) => `Paragraph ${i}. ${"Some words. ".repeat(20).trim()}`);
  const passages = splitPage("docs/x.md", `# X\n\n${blocks.join("\n\n")}`);
  expect(passages.length).toBeGreaterThan(3);
  expect(passages.map((p) => p.text).join("\n\n")).toBe(blocks.join("\n\n"));
  for (const passage of passages) expect(passage.text.length).toBeLessThan(1_200);
});

test("an unclosed fence, an empty page and a page without headings are read to their end", () => {
  expect(splitPage("a.md", "")).toStrictEqual([]);
  expect(splitPage("a.md", "just text")).toMatchObject([{ title: "a.md", heading: "a.md", text: "just text" }]);
  expect(splitPage("a.md", "# A\n\n```\n# open\n\nend")).toMatchObject([{ title: "A", text: "```\n# open\n\nend" }]);
});

test("a long table becomes several with the same head and all rows once", () => {
  const rows = Array.from({ length: 40 }, (_, at) => `| \`NEXUS_${at}\` | ${at} | ${"what it does ".repeat(5)}|`);
  const passages = splitPage("docs/c.md", `# C\n\n## Table\n\n| variable | default | doc |\n|---|---|---|\n${rows.join("\n")}\n`);
  expect(passages.length).toBeGreaterThan(3);
  for (const { text } of passages) expect(text).toMatch(/^\| variable \| default \| doc \|\n\|---\|---\|---\|\n\| `NEXUS_/);
  const found = passages.flatMap(({ text }) => text.split("\n").slice(2));
  expect(found).toStrictEqual(rows);
});

test("comments are not text", () => {
  expect(splitPage("a.md", "# A\n\n<!-- begin x -->\n\ntext\n\n<!-- end x -->")).toMatchObject([{ text: "text" }]);
});

test("a short page is one passage", () => {
  expect(
    splitPage("docs/problems/conflict.md", "# conflict (409)\n\n## Why\n\nBecause.\n\n## What to do\n\nWait."),
  ).toMatchObject([{ title: "conflict (409)", heading: "conflict (409)", text: "## Why\n\nBecause.\n\n## What to do\n\nWait." }]);
});

test("links and emphasis become plain text", () => {
  expect(plainText("See [the *page*](x.md) and `snake_case` _now_")).toBe("See the page and snake_case now");
});
