export {
  type AuditActor,
  type AuditBody,
  type AuditContext,
  type AuditOutcome,
  type AuditTarget,
  canonicalEntry,
  commitmentOf,
  macOf,
  writerMacKey,
} from "./audit-entry.ts";
export { auditFields } from "./audit-fields.ts";
export { type AuditEntry, type AuditWriter, openAuditWriter } from "./audit-writer.ts";
export { canonicalJson, type Json } from "./canonical-json.ts";
