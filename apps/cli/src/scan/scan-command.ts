import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import { type FoundKey, openKeyFinder } from "./find-keys.ts";
import { renderFound, renderSummary, renderUnreadable, type ScanForm, type Summary } from "./render-scan.ts";
import { openFileScanner } from "./scan-file.ts";
import { walkFiles } from "./walk-files.ts";

export interface ScanOptions {
  /** Files and folders; `-` is the standard input. */
  readonly paths: readonly string[];
  readonly json?: boolean;
  /** The SHA-256 of the keys, for `POST /v1/leaks/hashes`. */
  readonly hashes?: boolean;
  readonly print: (text: string) => void;
  readonly printError: (text: string) => void;
  readonly input: AsyncIterable<Uint8Array>;
}

const exitCodes = { none: 0, found: 1, incomplete: 2 } as const;

/** Finds platform keys without asking anybody. @returns the exit code: 0 no key, 1 some, 2 not everything could be read */
export async function scanCommand(options: ScanOptions): Promise<number> {
  const form: ScanForm = options.hashes && !options.json ? "hashes" : options.json ? "json" : "text";
  const summary: Summary = { keys: 0, places: 0, files: 0, bytes: 0, skipped: 0, unreadable: 0 };
  const hashes = new Set<string>();
  const show = (path: string, found: FoundKey): void => {
    summary.places++;
    const sha256 = createHash("sha256").update(found.key).digest("hex");
    const known = hashes.has(sha256);
    hashes.add(sha256);
    summary.keys = hashes.size;
    if (form === "hashes" && known) return;
    options.print(renderFound(form, { path, found, sha256: options.hashes ? sha256 : undefined }));
  };
  const unreadable = (path: string, error: unknown): void => {
    summary.unreadable++;
    const print = form === "json" ? options.print : options.printError;
    print(renderUnreadable(form, path, error));
  };
  for (const path of options.paths) {
    if (path === "-") await scanInput(options.input, summary, (found) => show("-", found), unreadable);
    else scanPath(path, summary, show, unreadable);
  }
  (form === "json" ? options.print : options.printError)(renderSummary(form, summary));
  if (summary.unreadable > 0) return exitCodes.incomplete;
  return summary.places > 0 ? exitCodes.found : exitCodes.none;
}

function scanPath(
  root: string,
  summary: Summary,
  show: (path: string, found: FoundKey) => void,
  unreadable: (path: string, error: unknown) => void,
): void {
  const scanner = openFileScanner();
  walkFiles(root, {
    file(path) {
      try {
        // The one path that may be a link is the one that somebody named.
        const bytes = scanner.scan(path === root ? realpathSync(path) : path, (found) => show(path, found));
        if (bytes === undefined) summary.skipped++;
        else {
          summary.files++;
          summary.bytes += bytes;
        }
      } catch (error) {
        unreadable(path, error);
      }
    },
    skipped: () => void summary.skipped++,
    unreadable,
  });
}

async function scanInput(
  input: AsyncIterable<Uint8Array>,
  summary: Summary,
  show: (found: FoundKey) => void,
  unreadable: (path: string, error: unknown) => void,
): Promise<void> {
  const finder = openKeyFinder({ countLines: true }, show);
  try {
    for await (const chunk of input) {
      for (let at = 0; at < chunk.length;) {
        const space = finder.space();
        const piece = chunk.subarray(at, at + space.length);
        space.set(piece);
        finder.filled(piece.length);
        at += piece.length;
      }
      summary.bytes += chunk.length;
    }
    summary.files++;
  } catch (error) {
    unreadable("-", error);
  }
}
