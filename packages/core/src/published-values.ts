/**
 * Passwords and secrets that stand in public documents. They are never a default, and nothing starts with them:
 * whoever read the page they come from would own the installation.
 */
const publishedValues: ReadonlySet<string> = new Set([
  "Momoney2025$",
  "nexus-cos-secret-key-2024-secure",
  "your-client-id",
  "your-client-secret",
  "changeme",
  "change-me",
  "password",
  "postgres",
  "secret",
  "admin",
]);

/** True for a value that anybody can read in a published example. */
export function isPublishedValue(value: string): boolean {
  return publishedValues.has(value) || publishedValues.has(value.trim().toLowerCase());
}
