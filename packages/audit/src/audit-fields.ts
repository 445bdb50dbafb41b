import { secret } from "@nexus/config";

/** Configuration of every service that writes audit entries. */
export const auditFields = {
  NEXUS_AUDIT_KEY: secret({
    doc: "Key of the audit entries' authentication codes: at least 32 characters, the same for all three services.",
    minLength: 32,
  }),
};
