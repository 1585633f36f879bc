import type { Clock, Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { inboxBytesMax, outboxBytesMax } from "#lib/limits";
import { type Database, migrate, openDatabase } from "#lib/runtime";
import { mercuryMigrations } from "../../migrations/mercury/index.ts";
import { CloudStore } from "./cloud-store.ts";
import { CommandStore } from "./command-store.ts";
import { IdentityStore } from "./identity-store.ts";
import { ItemStore } from "./item-store.ts";
import { LaneStore } from "./lane-store.ts";

/** Everything that Mercury keeps, in one encrypted file. */
export interface Store extends AsyncDisposable {
  readonly database: Database;
  readonly identity: IdentityStore;
  readonly cloud: CloudStore;
  readonly items: ItemStore;
  readonly lanes: LaneStore;
  readonly commands: CommandStore;
}

export interface StoreOptions {
  /** Path of `mercury.db`. */
  readonly path: string;
  /** What the file is encrypted under. */
  readonly encryptionKey: string;
  readonly suite: CryptoSuite;
  readonly random: Random;
  readonly clock: Pick<Clock, "now">;
  /** Bytes that all inboxes together may hold. Default `inboxBytesMax`. */
  readonly inboxBytes?: number;
  /** Bytes that all outboxes together may hold. Default `outboxBytesMax`. */
  readonly outboxBytes?: number;
  /** Benchmarks only: added to every commit, ms. */
  readonly commitDelayMs?: number;
}

/** Opens the store, making or bringing up to date its tables. Faults: `database_key`, `schema_newer`, `database`, `disk_full`. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { path, encryptionKey, suite, random, clock, commitDelayMs } = options;
  const database = await openDatabase({
    path,
    encryptionKey,
    ...(commitDelayMs === undefined ? {} : { commitDelayMs }),
  });
  try {
    await migrate(database, mercuryMigrations);
    const lanes = new LaneStore(database, options.inboxBytes ?? inboxBytesMax, options.outboxBytes ?? outboxBytesMax);
    await lanes.load();
    return {
      database,
      identity: new IdentityStore(database, suite, random, clock),
      cloud: new CloudStore(database),
      items: new ItemStore(database),
      commands: new CommandStore(database),
      lanes,
      [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
    };
  } catch (error) {
    await database[Symbol.asyncDispose]();
    throw error;
  }
}
