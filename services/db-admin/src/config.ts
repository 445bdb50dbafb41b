import { auditFields } from "@nexus/audit";
import { type Field, optional, secret } from "@nexus/config";
import { databaseFields } from "@nexus/db";

const rolePassword = (role: string): Field<string> =>
  secret({ doc: `Password that the role ${role} is given; its service logs in with it.`, minLength: 12 });

export const migrateFields = {
  ...databaseFields,
  NEXUS_API_DB_PASSWORD: rolePassword("nexus_api"),
  NEXUS_AI_DB_PASSWORD: rolePassword("nexus_ai"),
  NEXUS_KEYS_DB_PASSWORD: rolePassword("nexus_keys"),
  // Optional: a developer's migration needs no audit trail; every deployment has the key.
  NEXUS_AUDIT_KEY: optional(auditFields.NEXUS_AUDIT_KEY),
};

export const auditedFields = { ...databaseFields, ...auditFields };

export const journeyUserFields = {
  ...auditedFields,
  NEXUS_JOURNEY_PASSWORD: optional(
    secret({ doc: "Password of the throw-away person; made at random and printed when absent.", minLength: 15 }),
  ),
};
