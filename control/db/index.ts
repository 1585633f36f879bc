/**
 * Solaris' database. A slice declares its tables in `control/<slice>/tables.ts`; only its `repo.ts` names them.
 * Several writes that belong together are one `db.write(...)` set, or one `audit.record(event, ...)` set.
 */
export { bytes, json, type Sealed, sealed, time } from "./columns.ts";
export { isDuplicate, isUnmet } from "./conflicts.ts";
export { asStatement, type Db, expecting, makeDb, type Query } from "./db.ts";
export { makeNewId, type NewId, newSecretText } from "./ids.ts";
export { makeRemembered } from "./remembered.ts";
export { makeSeals, type Seals } from "./seals.ts";
