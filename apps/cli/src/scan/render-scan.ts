import type { FoundKey } from "./find-keys.ts";

/** `text` for people, `json` one object a line, `hashes` one SHA-256 a line. */
export type ScanForm = "text" | "json" | "hashes";

export interface Summary {
  /** Different keys, and the places where they stand. */
  keys: number;
  places: number;
  files: number;
  bytes: number;
  /** Links, sockets, pipes, devices. */
  skipped: number;
  unreadable: number;
}

/** Never more of a key than its prefix and public id. */
export function renderFound(
  form: ScanForm,
  { path, found, sha256 }: { path: string; found: FoundKey; sha256: string | undefined },
): string {
  const { line, column, prefix } = found;
  if (form === "hashes") return `${sha256}\n`;
  if (form === "text") return `${printable(path)}:${line}:${column}: ${prefix}\n`;
  return `${JSON.stringify({ kind: "key", path, line, column, prefix, sha256 })}\n`;
}

export function renderUnreadable(form: ScanForm, path: string, error: unknown): string {
  const reason = (error as NodeJS.ErrnoException).code ?? String(error);
  if (form === "json") return `${JSON.stringify({ kind: "unreadable", path, reason })}\n`;
  return `${printable(path)}: could not be read: ${reason}\n`;
}

export function renderSummary(form: ScanForm, summary: Summary): string {
  if (form === "json") return `${JSON.stringify({ kind: "summary", ...summary })}\n`;
  const { keys, places, files, bytes, skipped, unreadable } = summary;
  const size = `${(bytes / 1e6).toFixed(1)} MB`;
  return `${keys} keys in ${places} places; ${files} files (${size}) read, ${skipped} links and special files left out, ${unreadable} not readable\n`;
}

/** The names of files may hold anything: line ends that forge a finding, sequences that move the cursor. */
function printable(path: string): string {
  return /[\p{Cc}\p{Cf}\u2028\u2029]/u.test(path) ? JSON.stringify(path).replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, escape) : path;
}

function escape(character: string): string {
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`;
}
