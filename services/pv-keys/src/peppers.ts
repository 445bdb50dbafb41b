export { keyDigest, pepperFingerprint, type Peppers, storedHash } from "@nexus/key-check";
