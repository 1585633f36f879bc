/** The audit log: who did what to what, in a chain of hashes that signed checkpoints close. */
export { type AuditLog, makeAuditLog } from "./audit-log.ts";
export { countKmsUse } from "./kms-uses.ts";
export type { AuditEvent } from "./rules.ts";
export type { AuditDetail } from "./tables.ts";
