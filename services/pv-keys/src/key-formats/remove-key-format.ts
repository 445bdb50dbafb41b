import type { AuditWriter } from "@nexus/audit";
import { type ChangeDeps, inChangeTransaction } from "@nexus/change-feed";
import type { KeyFormat } from "@nexus/contracts/key-formats";
import { type Clock, newUuid, Problem } from "@nexus/core";
import { isForeignKeyViolation } from "@nexus/db";
import type { PersonCaller, RequestContext } from "@nexus/http";
import { presentFormat } from "./create-key-format.ts";
import { deleteFormat, lockFormats, recordFormatChange } from "./key-formats.store.ts";

interface Needs extends ChangeDeps {
  clock: Clock;
  audit: AuditWriter;
}

/** @throws Problem `not_found`, `conflict` while a key was imported with it, even a revoked one: it must be known as revoked */
export async function removeKeyFormat(
  needs: Needs,
  { caller, name, context }: { caller: PersonCaller; name: string; context: RequestContext },
): Promise<KeyFormat> {
  try {
    return await inChangeTransaction(needs, async (tx) => {
      await lockFormats(tx);
      const row = await deleteFormat(tx, name);
      if (!row) throw new Problem("not_found");
      await needs.audit.write(tx, {
        action: "key_format.removed",
        outcome: "success",
        organizationId: caller.organizationId,
        actor: { kind: "person", id: caller.userId },
        targets: [{ kind: "key_format", id: name }],
        context,
        details: {},
      });
      await recordFormatChange(tx, newUuid(needs.clock.now()));
      return presentFormat(row);
    });
  } catch (error) {
    if (!isForeignKeyViolation(error)) throw error;
    throw new Problem("conflict", "Keys were imported with this format.", { cause: error });
  }
}
