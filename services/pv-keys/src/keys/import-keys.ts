import { inChangeTransaction } from "@nexus/change-feed";
import type { ImportedKeys, ImportKeysRequest } from "@nexus/contracts/bulk-keys";
import { assert, type FieldError, Problem } from "@nexus/core";
import { type Db, isForeignKeyViolation, isUniqueViolation } from "@nexus/db";
import type { RequestContext } from "@nexus/http";
import { findKeyFormats, type KeyFormatRow } from "../key-formats/find-key-formats.ts";
import { type Peppers, storedHash } from "../peppers.ts";
import { type CreateKeyDeps, storeKeys } from "./create-key.ts";
import { draftRow, pepperedHash } from "./draft-key.ts";
import { type KeyManager, requireRightOver } from "./key-manager.ts";
import { collectFaults, type Faults } from "./key-sections.ts";
import { presentKey } from "./key.ts";
import { findHashes, type NewKey } from "./keys.store.ts";

interface ImportInput {
  manager: KeyManager;
  request: ImportKeysRequest;
  context: RequestContext;
}

type Row = ImportKeysRequest["keys"][number];

/** Characters of a foreign key that may be shown beyond its format's prefix. */
const mostShown = 8;

/**
 * Takes over keys that somebody else issued, known by their SHA-256 alone: whoever holds such a key goes on using it.
 * @throws Problem `invalid_request` naming the rows that are wrong, of which one is enough to import none; `forbidden`
 */
export async function importKeys(deps: CreateKeyDeps, input: ImportInput): Promise<ImportedKeys> {
  try {
    return await importOnce(deps, input);
  } catch (error) {
    // Somebody was faster: now the fault is there to be named.
    const overtakenBy = fasterOf(error);
    if (overtakenBy === undefined) throw error;
    // A transaction that somebody else opened is lost with the statement that failed.
    if (deps.db.isTransaction) throw new Problem("conflict", overtakenBy, { cause: error });
    return await importOnce(deps, input);
  }
}

function fasterOf(error: unknown): string | undefined {
  if (isUniqueViolation(error, "api_key_versions_hash_key")) return "Another import of the same key was faster.";
  if (isForeignKeyViolation(error, "api_key_versions_format_fkey")) return "The format was removed meanwhile.";
  return undefined;
}

async function importOnce(deps: CreateKeyDeps, { manager, request, context }: ImportInput): Promise<ImportedKeys> {
  requireRightOver(manager, { kind: "sk", models: [] });
  return await inChangeTransaction(deps, async (tx) => {
    const formats = await findKeyFormats(tx);
    const faults = collectFaults();
    const digests = request.keys.map((row, index) => checkForeign(row, formats, faults.at(`/keys/${index}`)));
    await refuseKnown(tx, { digests, peppers: deps.peppers, faults });
    const keys = request.keys.map((row, index): NewKey => {
      const { sha256: _, prefix, format, ...sections } = row;
      const key = draftRow(deps, { manager, kind: "sk", sections, faults: faults.at(`/keys/${index}`) });
      const digest = digests[index] ?? Buffer.alloc(32);
      return { key, secret: { ...pepperedHash(deps.peppers, digest), display_prefix: prefix, format } };
    });
    refuseRows(faults.found);
    const made = await storeKeys({ ...deps, db: tx }, { keys, manager, context, action: "key.imported" });
    return { data: made.map(presentKey) };
  });
}

/** The digest of a row; `undefined` when it is none. */
function checkForeign(row: Row, formats: ReadonlyMap<string, KeyFormatRow>, faults: Faults): Buffer | undefined {
  const format = formats.get(row.format);
  if (!format) faults.add("/format", "is no registered format");
  else if (!isShown(row.prefix, format))
    faults.add("/prefix", `must begin with ${format.prefix} and have at most ${mostShown} printable characters more`);
  if (/^[0-9a-fA-F]{64}$/.test(row.sha256)) return Buffer.from(row.sha256, "hex");
  faults.add("/sha256", "is not the 64 hex digits of a SHA-256");
  return undefined;
}

function isShown(prefix: string, format: KeyFormatRow): boolean {
  return prefix.startsWith(format.prefix) && /^[!-~]{0,8}$/.test(prefix.slice(format.prefix.length));
}

/** A key that stands twice, or that is here already under whatever pepper. */
async function refuseKnown(
  tx: Db,
  { digests, peppers, faults }: { digests: readonly (Buffer | undefined)[]; peppers: Peppers; faults: Faults },
): Promise<void> {
  const rows = new Map<string, number>();
  for (const [index, digest] of digests.entries()) {
    const text = digest?.toString("hex");
    if (text === undefined) continue;
    const earlier = rows.get(text);
    if (earlier === undefined) rows.set(text, index);
    else faults.add(`/keys/${index}/sha256`, `is that of row ${earlier}`);
  }
  for (const pepper of peppers.versions.values()) {
    const hashes = new Map(
      digests.flatMap((digest, index) => (digest ? [[storedHash(digest, pepper).toString("hex"), index] as const] : [])),
    );
    for (const hash of await findHashes(tx, [...hashes.keys()])) {
      const index = hashes.get(hash);
      assert(index !== undefined, "only what was asked for is found");
      faults.add(`/keys/${index}/sha256`, "is that of a key that is here already");
    }
  }
}

/** @throws Problem `invalid_request` with `rows`, the numbers of all rows at fault, counted from 0 as in the pointers */
function refuseRows(found: readonly FieldError[]): void {
  const [first] = found;
  if (!first) return;
  const rows = [...new Set(found.map(({ pointer }) => Number(pointer.split("/")[2])))].toSorted((a, b) => a - b);
  throw new Problem("invalid_request", `No key was imported: ${first.pointer} ${first.detail}.`, {
    errors: found.slice(0, 20),
    extensions: { rows },
  });
}
