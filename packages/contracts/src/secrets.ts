/** Secrets that others gave us, such as the keys of model providers. Their values go in and never come out to people. */
import { type Static, Type } from "typebox";
import { page, pageQuery, strictObject, Timestamp } from "./common.ts";

export const longestSecretBytes = 16_384;

const SecretId = Type.String({ pattern: "^sec_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$" });
const OrganizationId = Type.String({ pattern: "^org_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$" });
const UserId = Type.String({ pattern: "^usr_[0-9a-f-]{36}$" });
const SecretName = Type.String({
  pattern: "^[a-z][a-z0-9._-]{0,62}$",
  description: "unique in its scope",
  "x-must": "begin with a letter a–z and hold at most 63 of a–z, 0–9, ., - and _",
});
const SecretVersionNumber = Type.Integer({ minimum: 1, maximum: 2_147_483_647 });
/** Of control characters only tab and line ends, which certificates and key files have. */
const SecretValue = Type.String({
  minLength: 1,
  maxLength: longestSecretBytes,
  pattern: "^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f]*$",
  description: "at most 16,384 bytes as UTF-8; no answer to a person ever holds it",
  "x-secret": true,
});
const Readers = Type.Array(Type.String({ pattern: "^[a-z][a-z0-9-]{0,62}$" }), {
  minItems: 1,
  maxItems: 20,
  uniqueItems: true,
  description: "names of the services that may read the value, such as puaboai-sdk",
});
const SecretScope = Type.Union([Type.Literal("organization"), Type.Literal("installation")], {
  description: "organization: the caller's own. installation: of the platform itself, for administrators",
});

export const CreateSecretRequest = strictObject({
  name: SecretName,
  value: SecretValue,
  readers: Readers,
  scope: Type.Optional(SecretScope),
});
export type CreateSecretRequest = Static<typeof CreateSecretRequest>;

export const NewSecretValueRequest = strictObject({
  value: SecretValue,
  if_version: Type.Optional(SecretVersionNumber),
});
export type NewSecretValueRequest = Static<typeof NewSecretValueRequest>;

export const UpdateSecretRequest = strictObject({ readers: Readers });
export type UpdateSecretRequest = Static<typeof UpdateSecretRequest>;

export const Secret = strictObject({
  id: SecretId,
  scope: SecretScope,
  organization_id: Type.Union([OrganizationId, Type.Null()]),
  name: SecretName,
  readers: Readers,
  version: SecretVersionNumber,
  created_at: Timestamp,
  created_by: UserId,
  updated_at: Timestamp,
  rev: Type.Integer({ description: "revision of the change feed" }),
});
export type Secret = Static<typeof Secret>;
export const SecretAnswer = strictObject({ secret: Secret });
export const SecretPage = page(Secret);
export const SecretParams = strictObject({ id: SecretId });
export const ListSecretsQuery = strictObject({ ...pageQuery, scope: Type.Optional(SecretScope) });

export const SecretVersion = strictObject({
  version: SecretVersionNumber,
  created_at: Timestamp,
  created_by: UserId,
  destroyed_at: Type.Union([Timestamp, Type.Null()], { description: "since when its value is gone for good" }),
  wrapped_by: Type.String({ description: "fingerprint of the key-encryption key" }),
});
export type SecretVersion = Static<typeof SecretVersion>;
export const SecretVersionList = strictObject({
  data: Type.Array(SecretVersion, { description: "the newest 100, newest first" }),
});

/** Of one service to another: the private listener alone answers it. */
export const ReadSecretRequest = strictObject({
  name: SecretName,
  organization_id: Type.Optional(OrganizationId),
  version: Type.Optional(SecretVersionNumber),
});
export type ReadSecretRequest = Static<typeof ReadSecretRequest>;

export const ReadSecretAnswer = strictObject({
  id: SecretId,
  name: SecretName,
  version: SecretVersionNumber,
  value: Type.String({ "x-secret": true }),
});
export type ReadSecretAnswer = Static<typeof ReadSecretAnswer>;

const Fingerprint = Type.String({ description: "of a key-encryption key" });

export const SecretRewrap = strictObject({
  id: Type.String({ pattern: "^rwp_[0-9a-f-]{36}$" }),
  state: Type.Union([Type.Literal("running"), Type.Literal("finished"), Type.Literal("superseded")], {
    description: "superseded: another key became the current one before it was through",
  }),
  from_fingerprints: Type.Array(Fingerprint),
  to_fingerprint: Fingerprint,
  total: Type.Integer({ description: "data keys; changes while secrets are made and deleted" }),
  done: Type.Integer(),
  failed: Type.Integer({ description: "data keys that do not open, because somebody changed or moved them" }),
  started_at: Timestamp,
  started_by: UserId,
  finished_at: Type.Union([Timestamp, Type.Null()]),
});
export type SecretRewrap = Static<typeof SecretRewrap>;
export const SecretRewrapAnswer = strictObject({ rewrap: SecretRewrap });
export type SecretRewrapAnswer = Static<typeof SecretRewrapAnswer>;

export const KeyEncryptionKeyUse = strictObject({
  fingerprint: Fingerprint,
  name: Type.String(),
  current: Type.Boolean({ description: "wraps what is new" }),
  held: Type.Boolean({ description: "the process that answers can unwrap with it" }),
  data_keys: Type.Integer({ description: "wrapped with it; with none its line may leave the configuration" }),
});
export type KeyEncryptionKeyUse = Static<typeof KeyEncryptionKeyUse>;

export const SecretRewrapOverview = strictObject({
  rewrap: Type.Union([SecretRewrap, Type.Null()], { description: "the newest one" }),
  keys: Type.Array(KeyEncryptionKeyUse),
});
export type SecretRewrapOverview = Static<typeof SecretRewrapOverview>;
