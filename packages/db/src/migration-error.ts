import type { MigrationFile } from "./migration-files.ts";

/** A migration that cannot be applied; `message` names the file and, where PostgreSQL told it, the line and column. */
export class MigrationError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "MigrationError";
  }
}

interface ServerFault extends Error {
  code?: string;
  /** In characters from 1, into the whole text that was sent. */
  position?: string;
  where?: string;
  detail?: string;
}

export function migrationFailure(file: MigrationFile, error: unknown): MigrationError {
  const fault = error as ServerFault;
  const place = fault.position === undefined ? "" : placeOf(file.sql, Number(fault.position));
  const state = fault.code === undefined ? "" : ` (${fault.code})`;
  const more = [fault.detail, fault.where].filter((text) => text !== undefined && text !== "").map((text) => `\n  ${text}`);
  return new MigrationError(`${file.name}${place}: ${fault.message}${state}; nothing of this file was kept${more.join("")}`, {
    cause: error,
  });
}

/** `:12:5`, as compilers write it. PostgreSQL counts code points, JavaScript UTF-16 units. */
function placeOf(sql: string, position: number): string {
  const before = Array.from(sql)
    .slice(0, position - 1)
    .join("");
  const lines = before.split("\n");
  return `:${lines.length}:${Array.from(lines.at(-1) ?? "").length + 1}`;
}
