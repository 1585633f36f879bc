import type { Clock, Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import type { Log } from "#lib/log";
import type { AuditLog } from "../audit/index.ts";
import type { Db, NewId, Seals } from "../db/index.ts";

/** What slices build on; each takes `Pick<SliceDeps, …>` of what it needs. */
export interface SliceDeps {
  readonly db: Db;
  readonly seals: Seals;
  readonly audit: AuditLog;
  readonly suite: CryptoSuite;
  readonly clock: Clock;
  readonly random: Random;
  readonly newId: NewId;
  readonly log: Log;
}
