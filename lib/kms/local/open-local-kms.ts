import type { Clock, Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { type Database, migrate } from "#lib/runtime";
import { kmsMigrations } from "../../../migrations/kms/index.ts";
import type { KmsAudit } from "../kms.ts";
import { DataKeys } from "./data-keys.ts";
import { KeyRepo } from "./key-repo.ts";
import { KeyVault } from "./key-vault.ts";
import { LocalKms } from "./local-kms.ts";

/** What a local KMS is opened with. */
export interface LocalKmsOptions {
  readonly suite: CryptoSuite;
  readonly random: Random;
  readonly clock: Pick<Clock, "now" | "monotonic">;
  /** Its own database, which stays the caller's to close. Several processes may share one. */
  readonly database: Database;
  /** 32 bytes, from a key source. Without them nothing in the database opens. */
  readonly keyEncryptionKey: Uint8Array;
  readonly audit: KmsAudit;
}

/**
 * Opens (and begins) the local KMS. A rotation that was killed is finished first when opened with the new key. Fault `database_key` when
 * the database is under another key-encryption key.
 */
export async function openLocalKms(options: LocalKmsOptions): Promise<LocalKms> {
  const { suite, random, clock, database, audit } = options;
  await migrate(database, kmsMigrations);
  const repo = new KeyRepo(database);
  const vault = new KeyVault(suite, random, repo);
  await vault.unlock(options.keyEncryptionKey);
  const dataKeys = new DataKeys(suite, random, clock, vault);
  const destroyKey = (name: string, nowMs: number) => repo.destroy(name, nowMs);
  return new LocalKms({ suite, random, clock, audit, vault, dataKeys, destroyKey });
}
