/** The changes of a secret after it was made: another value, other readers, its end. */
import type { NewSecretValueRequest, Secret, UpdateSecretRequest } from "@nexus/contracts/secrets";
import { Problem } from "@nexus/core";
import { changeSecret, type SecretInput } from "./change-secret.ts";
import { refuseUnknownReaders } from "./readers.ts";
import { refuseBadValue } from "./refuse-value.ts";
import { sealValue } from "./sealed-value.ts";
import { orUnavailable, type SecretDeps, usableKeys } from "./secret-deps.ts";
import { destroyOldVersions, destroyVersions, insertVersion, updateSecret } from "./secrets.store.ts";

/**
 * The next version. The value of the version before stays readable by its number, older ones are destroyed.
 * @throws Problem `not_found`, `invalid_request`, `unavailable`; `conflict` when the newest version is not `if_version`
 */
export async function newSecretValue(
  deps: SecretDeps,
  { request, ...input }: SecretInput & { request: NewSecretValueRequest },
): Promise<Secret> {
  refuseBadValue(request.value);
  const encryption = await usableKeys(deps);
  return await changeSecret(deps, input, async (tx, row, at) => {
    if (request.if_version !== undefined && request.if_version !== row.version) {
      throw new Problem("conflict", `The newest version is ${row.version}.`, { extensions: { version: row.version } });
    }
    const version = row.version + 1;
    const place = { organizationId: row.organization_id, secretId: row.id, version };
    const sealed = await orUnavailable(sealValue(encryption.current, request.value, place));
    await insertVersion(tx, { ...sealed, secretId: row.id, version, createdBy: input.keeper.userId, createdAt: at });
    await updateSecret(tx, row.id, { version, updated_at: at });
    await destroyOldVersions(tx, row.id, version, at);
    return { action: "secret.value_changed", details: { version, wrapped_by: sealed.wrapped_by } };
  });
}

/** @throws Problem `not_found`, `invalid_request` */
export async function updateReaders(
  deps: SecretDeps & { readers: ReadonlySet<string> },
  { request, ...input }: SecretInput & { request: UpdateSecretRequest },
): Promise<Secret> {
  const { readers } = request;
  refuseUnknownReaders(readers, deps.readers);
  return await changeSecret(deps, input, async (tx, row, at) => {
    await updateSecret(tx, row.id, { readers, updated_at: at });
    return { action: "secret.updated", details: { readers: { before: row.readers, after: [...readers] } } };
  });
}

/** Every value is destroyed, for good; the row stays for those who ask what there was. @throws Problem `not_found` */
export async function deleteSecret(deps: SecretDeps, input: SecretInput): Promise<Secret> {
  return await changeSecret(deps, input, async (tx, row, at) => {
    await destroyVersions(tx, row.id, row.version, at);
    await updateSecret(tx, row.id, { deleted_at: at, updated_at: at });
    return { action: "secret.deleted", details: { version: row.version } };
  });
}
