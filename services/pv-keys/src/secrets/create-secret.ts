import { inChangeTransaction } from "@nexus/change-feed";
import type { CreateSecretRequest, Secret } from "@nexus/contracts/secrets";
import { newUuid, Problem } from "@nexus/core";
import { isForeignKeyViolation, isUniqueViolation } from "@nexus/db";
import type { RequestContext } from "@nexus/http";
import { refuseUnknownReaders } from "./readers.ts";
import { refuseBadValue } from "./refuse-value.ts";
import { sealValue } from "./sealed-value.ts";
import { auditSecret, orUnavailable, type SecretDeps, usableKeys } from "./secret-deps.ts";
import { type Keeper, organizationOf, presentSecret } from "./secret.ts";
import { countSecrets, insertSecret, insertVersion, setRevision } from "./secrets.store.ts";

const mostSecrets = 1000;

/** @throws Problem `forbidden`, `invalid_request`, `conflict`, `unavailable` */
export async function createSecret(
  deps: SecretDeps & { readers: ReadonlySet<string> },
  { keeper, request, context }: { keeper: Keeper; request: CreateSecretRequest; context: RequestContext },
): Promise<Secret> {
  const organizationId = organizationOf(keeper, request.scope);
  refuseUnknownReaders(request.readers, deps.readers);
  refuseBadValue(request.value);
  const encryption = await usableKeys(deps);
  const now = deps.clock.now();
  const id = newUuid(now);
  const place = { organizationId, secretId: id, version: 1 };
  const sealed = await orUnavailable(sealValue(encryption.current, request.value, place));
  const { name, readers } = request;
  const row = { id, organization_id: organizationId, name, readers, created_by: keeper.userId, created_at: new Date(now) };
  try {
    return await inChangeTransaction(deps, async (tx) => {
      if ((await countSecrets(tx, organizationId)) >= mostSecrets) {
        throw new Problem("conflict", `There are ${mostSecrets} secrets, which is the most.`);
      }
      await insertSecret(tx, row);
      await insertVersion(tx, { ...sealed, secretId: id, version: 1, createdBy: keeper.userId, createdAt: row.created_at });
      const details = { version: 1, readers: [...readers], wrapped_by: sealed.wrapped_by };
      await auditSecret(deps, tx, { action: "secret.created", row, keeper, context, details });
      return presentSecret(await setRevision(tx, id));
    });
  } catch (error) {
    if (isUniqueViolation(error, "secrets_name_idx")) {
      throw new Problem("conflict", "There is a secret of this name.", { cause: error });
    }
    if (isForeignKeyViolation(error, "secrets_organization_id_fkey")) {
      throw new Problem("unauthenticated", "The organization of this token is no longer there.", { cause: error });
    }
    throw error;
  }
}
