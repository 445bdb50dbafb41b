/**
 * Page cursors: opaque, signed, over (created_at, id). Signed so that a cursor can only be one that we gave out, and its
 * form can change without anybody having come to rely on it. A cursor grants nothing: every page is authorized anew.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { Problem } from "@nexus/core";

export interface CursorPosition {
  createdAt: Date;
  /** The uuid of the row, as in the database. */
  id: string;
}

const uuidPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const macBytes = 16;

/** Time columns hold whole milliseconds (`timestamptz(3)`), so a `Date` is the exact position. */
export function encodeCursor(createdAt: Date, id: string, secret: string | Buffer): string {
  const body = Buffer.from(`${createdAt.getTime()}.${id}`);
  return Buffer.concat([mac(body, secret), body]).toString("base64url");
}

export interface Page<T> {
  data: T[];
  next_cursor: string | null;
  has_more: boolean;
}

/** The page out of rows of which one more was asked for than it holds: whether there is more is known without counting. */
export function pageOf<R extends { id: string }, T>(
  rows: readonly R[],
  page: { limit: number; secret: string | Buffer; createdAt: (row: R) => Date; present: (row: R) => T },
): Page<T> {
  const shown = rows.slice(0, page.limit);
  const last = shown.at(-1);
  const hasMore = rows.length > page.limit;
  return {
    data: shown.map((row) => page.present(row)),
    next_cursor: hasMore && last ? encodeCursor(page.createdAt(last), last.id, page.secret) : null,
    has_more: hasMore,
  };
}

/** @throws Problem `invalid_request` for anything that `encodeCursor` with this secret did not make. */
export function decodeCursor(text: string, secret: string | Buffer): CursorPosition {
  const bytes = Buffer.from(text.length > 200 ? "" : text, "base64url");
  const body = bytes.subarray(macBytes);
  if (bytes.length <= macBytes || !timingSafeEqual(bytes.subarray(0, macBytes), mac(body, secret))) throw badCursor();
  const [time, id] = body.toString().split(".");
  const createdAt = new Date(Number(time));
  if (id === undefined || !uuidPattern.test(id) || Number.isNaN(createdAt.getTime())) throw badCursor();
  return { createdAt, id };
}

function mac(body: Buffer, secret: string | Buffer): Buffer {
  // The label keeps these MACs apart from any other use of the same secret.
  return createHmac("sha256", secret).update("nexus.cursor.v1\0").update(body).digest().subarray(0, macBytes);
}

function badCursor(): Problem {
  const detail = "is not a cursor that this server gave out";
  return new Problem("invalid_request", `cursor ${detail}`, {
    errors: [{ pointer: "?cursor", detail }],
  });
}
