import type { BulkCreated, BulkCreateRequest } from "@nexus/contracts/bulk-keys";
import type { RequestContext } from "@nexus/http";
import { type CreateKeyDeps, storeKeys } from "./create-key.ts";
import { draftKey } from "./draft-key.ts";
import type { KeyManager } from "./key-manager.ts";
import { collectFaults } from "./key-sections.ts";
import { presentKey } from "./key.ts";

/** All keys or none, in one transaction. @throws Problem `forbidden`, `invalid_request` naming every fault as `/keys/<number>/<field>` */
export async function bulkCreateKeys(
  deps: CreateKeyDeps,
  { manager, request, context }: { manager: KeyManager; request: BulkCreateRequest; context: RequestContext },
): Promise<BulkCreated> {
  const faults = collectFaults();
  const drafts = request.keys.map((one, index) => draftKey(deps, { manager, request: one, faults: faults.at(`/keys/${index}`) }));
  faults.refuse();
  const secrets = new Map(drafts.map(({ key, secret }) => [key.key.id, secret]));
  const made = await storeKeys(deps, { keys: drafts.map(({ key }) => key), manager, context, action: "key.created" });
  return { data: made.map((row) => ({ key: presentKey(row), secret: secrets.get(row.id) ?? "" })) };
}
