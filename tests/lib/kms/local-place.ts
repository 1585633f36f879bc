import type { Clock, Random } from "#lib/clock";
import { webSuite } from "#lib/crypto";
import { type KmsAudit, type LocalKms, openLocalKms } from "#lib/kms";
import { type Database, openDatabase, systemClock, systemRandom } from "#lib/runtime";
import type { KmsPlace } from "../../contract/kms.ts";

/** A database in memory with a key-encryption key; every KMS opened on it is another process to the other. */
export class LocalPlace implements KmsPlace {
  readonly database: Database;
  keyEncryptionKey = systemRandom(32);

  constructor(database: Database) {
    this.database = database;
  }

  static async begin(): Promise<LocalPlace> {
    return new LocalPlace(await openDatabase({ path: ":memory:", encryptionKey: "only for this test" }));
  }

  open(audit: KmsAudit): Promise<LocalKms> {
    return this.with({ audit });
  }

  /** A KMS with something replaced. */
  with(
    over: {
      readonly audit?: KmsAudit;
      readonly key?: Uint8Array;
      readonly database?: Database;
      readonly clock?: Clock;
      readonly random?: Random;
    } = {},
  ): Promise<LocalKms> {
    return openLocalKms({
      suite: webSuite,
      random: over.random ?? systemRandom,
      clock: over.clock ?? systemClock,
      database: over.database ?? this.database,
      keyEncryptionKey: over.key ?? this.keyEncryptionKey,
      audit: over.audit ?? (async () => {}),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.database[Symbol.asyncDispose]();
  }
}

/** `database` with every call told to `before`, which may take its time or throw instead, and every answer to `after`. */
export function watched(
  database: Database,
  before: (kind: "read" | "write", sql: string) => Promise<void> | void,
  after: (kind: "read" | "write", sql: string) => Promise<void> | void = () => {},
): Database {
  return {
    read: async (sql, params) => {
      await before("read", sql);
      const rows = await database.read<never>(sql, params);
      await after("read", sql);
      return rows;
    },
    values: async (sql, params) => {
      await before("read", sql);
      return await database.values(sql, params);
    },
    write: async (set) => {
      await before("write", set[0]?.sql ?? "");
      return await database.write(set);
    },
    [Symbol.asyncDispose]: async () => {},
  };
}
