/** The audit log: who did what to what, in a chain of hashes that signed checkpoints close. */
export { type AuditLog, makeAuditLog } from "./audit-log.ts";
export { writeCheckpoint } from "./checkpoints.ts";
export { type ExportLine, exportLineSchema } from "./export.ts";
export { countKmsUse } from "./kms-uses.ts";
export { auditRoutes, exportLines } from "./routes.ts";
export type { AuditEvent } from "./rules.ts";
export { writeSummaries } from "./summaries.ts";
export type { AuditDetail } from "./tables.ts";
export { type Verified, verifyLog } from "./verify.ts";
