import type { AuditWriter } from "@nexus/audit";
import { type ChangeDeps, inChangeTransaction } from "@nexus/change-feed";
import type { CreateKeyFormatRequest, KeyFormat } from "@nexus/contracts/key-formats";
import { type Clock, type FieldError, newUuid, Problem } from "@nexus/core";
import type { PersonCaller, RequestContext } from "@nexus/http";
import { insertFormat, type KeyFormatRow, listFormats, lockFormats, recordFormatChange } from "./key-formats.store.ts";

interface Needs extends ChangeDeps {
  clock: Clock;
  audit: AuditWriter;
}

/** Characters after the prefix: 8 may be shown, and what is left must not be guessed from its hash. */
const fewestAfterPrefix = 24;
/** Every verifier holds all of them. */
const mostFormats = 100;
const ourPrefix = "pv_";

/** Registers the shape of foreign keys, for imports by hash. @throws Problem `invalid_request`, `conflict` */
export async function createKeyFormat(
  needs: Needs,
  { caller, request, context }: { caller: PersonCaller; request: CreateKeyFormatRequest; context: RequestContext },
): Promise<KeyFormat> {
  const errors = faultsOf(request);
  if (errors.length > 0) throw new Problem("invalid_request", undefined, { errors });
  const row: KeyFormatRow = { ...request, created_at: new Date(needs.clock.now()) };
  await inChangeTransaction(needs, async (tx) => {
    await lockFormats(tx);
    const formats = await listFormats(tx);
    if (formats.some(({ name }) => name === row.name)) throw new Problem("conflict", "There is a format of this name.");
    if (formats.length >= mostFormats) throw new Problem("conflict", `There are ${mostFormats} formats, which is the most.`);
    await insertFormat(tx, row);
    await needs.audit.write(tx, {
      action: "key_format.created",
      outcome: "success",
      organizationId: caller.organizationId,
      actor: { kind: "person", id: caller.userId },
      targets: [{ kind: "key_format", id: row.name }],
      context,
      details: { ...request },
    });
    await recordFormatChange(tx, newUuid(needs.clock.now()));
  });
  return presentFormat(row);
}

export function presentFormat(row: KeyFormatRow): KeyFormat {
  return { ...row, created_at: row.created_at.toISOString() };
}

function faultsOf({ prefix, min_length, max_length }: CreateKeyFormatRequest): FieldError[] {
  const errors: FieldError[] = [];
  if (prefix.startsWith(ourPrefix) || ourPrefix.startsWith(prefix))
    errors.push({ pointer: "/prefix", detail: `could be that of our own keys, ${ourPrefix}` });
  if (min_length < prefix.length + fewestAfterPrefix)
    errors.push({ pointer: "/min_length", detail: `must be at least ${fewestAfterPrefix} more than the prefix has` });
  if (max_length < min_length) errors.push({ pointer: "/max_length", detail: "must not be less than min_length" });
  return errors;
}
