import { lstatSync, opendirSync, realpathSync } from "node:fs";
import { join } from "node:path";

export interface Walk {
  file(path: string): void;
  /** Links, sockets, pipes, devices: never opened. */
  skipped(path: string): void;
  unreadable(path: string, error: unknown): void;
}

/**
 * Visits every file below a path. Links inside are not followed, so no file is visited twice and nothing outside is read; the
 * path itself may be one. Memory grows with the folders that wait, not with the files.
 */
export function walkFiles(root: string, walk: Walk): void {
  const folders: string[] = [];
  try {
    const stat = lstatSync(realpathSync(root));
    if (stat.isDirectory()) folders.push(root);
    else if (stat.isFile()) walk.file(root);
    else walk.skipped(root);
  } catch (error) {
    walk.unreadable(root, error);
  }
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    try {
      visit(folder, folders, walk);
    } catch (error) {
      walk.unreadable(folder, error);
    }
  }
}

function visit(folder: string, folders: string[], walk: Walk): void {
  const entries = opendirSync(folder, { bufferSize: 256 });
  try {
    for (let entry = entries.readSync(); entry; entry = entries.readSync()) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) folders.push(path);
      else if (entry.isFile()) walk.file(path);
      else walk.skipped(path);
    }
  } finally {
    entries.closeSync();
  }
}
