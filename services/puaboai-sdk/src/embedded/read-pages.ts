import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import type { Passage } from "./passage.ts";
import { splitPage } from "./split-page.ts";

const mostPages = 300;
const largestPageBytes = 256 * 1024;

/**
 * The passages of `README.md` and every Markdown page under `docs`, in the order of their paths. Left out are `docs/decisions`,
 * which is for those who change the code and whose words are near to every question, and the samples of `docs/clients`.
 * Symbolic links are not followed; a page above 256 KiB and pages past the 300th are left out.
 * A missing folder is an empty documentation, not an error: the guide then says that it knows nothing.
 */
export async function readPages(rootDirectory: string): Promise<Passage[]> {
  const passages: Passage[] = [];
  for (const file of (await markdownFiles(rootDirectory)).slice(0, mostPages)) {
    const full = path.join(rootDirectory, file);
    if ((await stat(full)).size > largestPageBytes) continue;
    passages.push(...splitPage(file, await readFile(full, "utf8")));
  }
  return passages;
}

const leftOut = ["docs/decisions/", "docs/clients/"];

async function markdownFiles(rootDirectory: string): Promise<string[]> {
  const files: string[] = [];
  const root = await readdir(rootDirectory, { withFileTypes: true }).catch(() => []);
  if (root.some((entry) => entry.isFile() && entry.name === "README.md")) files.push("README.md");
  const docs = await readdir(path.join(rootDirectory, "docs"), { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of docs) {
    if (!entry.isFile() || !entry.name.endsWith(".md")) continue;
    const file = path.relative(rootDirectory, path.join(entry.parentPath, entry.name)).replaceAll("\\", "/");
    if (!leftOut.some((folder) => file.startsWith(folder))) files.push(file);
  }
  return files.toSorted();
}
