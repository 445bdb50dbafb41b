export { allowsAddress } from "./allows-address.ts";
export { databaseSource } from "./database-source.ts";
export { keyCheckFields, keyLookupFields } from "./key-check-fields.ts";
export type { Found, KeySource } from "./key-source.ts";
export { type KeyChecker, type KeyCheckerOptions, openKeyChecker } from "./open-key-checker.ts";
export { openVerifier, type Verifier } from "./open-verifier.ts";
export { keyDigest, pepperFingerprint, type Peppers, peppersField, storedHash } from "./peppers.ts";
export { pvKeysSource } from "./pv-keys-source.ts";
export { twoSources } from "./two-sources.ts";
