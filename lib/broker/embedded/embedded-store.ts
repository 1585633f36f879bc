import { asFault, Fault } from "#lib/fault";
import type { Database, Statement } from "#lib/runtime";

/** The broker's file: sets of statements, and its errors as Faults. */
export class EmbeddedStore {
  readonly database: Database;

  constructor(database: Database) {
    this.database = database;
  }

  /** A database failure as the port's callers know it: `conflict`, `disk_full` and `closed` as they are, all else `broker`. */
  fault(error: unknown): Fault {
    const passes = error instanceof Fault && ["conflict", "disk_full", "closed", "lane_full"].includes(error.code);
    return passes ? error : new Fault("broker", "the broker's file did not answer", { cause: error });
  }

  async write(set: readonly Statement[], options: { readonly later?: boolean } = {}) {
    try {
      return await this.database.write(set, options);
    } catch (error) {
      throw this.fault(error);
    }
  }

  async read<Row extends object>(sql: string, params: Parameters<Database["read"]>[1] = []): Promise<Row[]> {
    try {
      return await this.database.read<Row>(sql, params);
    } catch (error) {
      throw asFault(this.fault(error), "broker");
    }
  }

  /** Takes everything through `seq` out of a queue; the keys stay until the dedup window has passed. */
  async takeOut(queue: number, seq: number): Promise<void> {
    const sql = "UPDATE entry SET body = NULL WHERE queue = ? AND seq <= ? AND body IS NOT NULL";
    await this.write([{ sql, params: [queue, seq] }]);
  }

  /** Takes single entries out; nobody waits for it, so it shares another's commit. */
  async takeOutEach(seqs: readonly number[]): Promise<void> {
    const sql = "UPDATE entry SET body = NULL WHERE seq IN (SELECT value FROM json_each(?)) AND body IS NOT NULL";
    await this.write([{ sql, params: [JSON.stringify(seqs)] }], { later: true });
  }
}
