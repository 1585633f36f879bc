import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import LibsqlDatabase from "libsql";
import { bindable } from "./bindable.ts";
import type { SqlParameter, SqlValue } from "./database.ts";
import { ExpectationError, failureOf, isBusy } from "./database-faults.ts";
import type { BoundStatement, Driver } from "./driver.ts";
import { countPlaceholders } from "./placeholders.ts";
import type { WireOutcome, WireResult } from "./worker-protocol.ts";

/** How a local file is opened; see `DatabaseOptions`. */
export interface LocalOptions {
  readonly path: string;
  readonly encryptionKey: string;
  readonly busyTimeoutMs: number;
  readonly commitDelayMs: number;
}

interface Prepared {
  readonly statement: LibsqlDatabase.Statement;
  readonly placeholders: number;
  /** Undefined for a statement that returns no rows. */
  readonly columns: readonly string[] | undefined;
}

const preparedMax = 500;
const busyTries = 3;

/**
 * One connection to an encrypted local file. It uses `libsql`, the package under `@libsql/client`, because that client prepares
 * each statement anew at each call (half the rows a second, measured) and its batch can't set one set back alone.
 */
export class LocalDriver implements Driver {
  readonly #database: LibsqlDatabase.Database;
  readonly #commitDelayMs: number;
  readonly #prepared = new Map<string, Prepared>();

  constructor(options: LocalOptions) {
    if (options.path !== ":memory:") createPrivately(options.path);
    this.#commitDelayMs = options.commitDelayMs;
    const settings = { encryptionKey: options.encryptionKey, timeout: options.busyTimeoutMs };
    this.#database = new LibsqlDatabase(options.path, settings);
    try {
      this.#database.exec("PRAGMA journal_mode = WAL");
      this.#database.exec("PRAGMA synchronous = FULL");
      this.#database.exec("PRAGMA foreign_keys = ON");
      this.#database.exec("PRAGMA temp_store = MEMORY");
      this.#database.exec("SELECT count(*) FROM sqlite_schema");
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  read(sql: string, params: readonly SqlParameter[]): WireResult {
    const prepared = this.#prepare(sql);
    if (prepared.columns === undefined) throw new TypeError("a read must return rows");
    return this.#run({ sql, params, expect: -1 });
  }

  write(sets: readonly (readonly BoundStatement[])[]): WireOutcome[] {
    const { outcomes, lost } = this.#commit(sets);
    // The transaction was lost as a whole (disk full, I/O): each set gets its own chance, so that a small one may still pass.
    return lost && sets.length > 1 ? sets.flatMap((set) => this.#commit([set]).outcomes) : outcomes;
  }

  close(): void {
    this.#prepared.clear();
    try {
      this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch {
      // Another process reads: the log stays for it, and for the next start.
    }
    this.#database.close();
  }

  /** All sets in one transaction; a set that fails is taken back alone. `lost`: the transaction itself failed. */
  #commit(sets: readonly (readonly BoundStatement[])[]): { outcomes: WireOutcome[]; lost: boolean } {
    const outcomes: WireOutcome[] = [];
    try {
      this.#begin();
      for (const set of sets) outcomes.push(this.#apply(set));
      if (outcomes.every((outcome) => "failure" in outcome)) {
        this.#database.exec("ROLLBACK");
        return { outcomes, lost: false };
      }
      if (this.#commitDelayMs > 0) Bun.sleepSync(this.#commitDelayMs);
      this.#database.exec("COMMIT");
      return { outcomes, lost: false };
    } catch (error) {
      this.#rollBack();
      const failure = failureOf(error);
      return { outcomes: sets.map(() => ({ failure })), lost: true };
    }
  }

  /** `timeout` bounds each try; a writer in another process that holds the lock longer than all of them is told about. */
  #begin(): void {
    for (let tried = 1; ; tried++) {
      try {
        this.#database.exec("BEGIN IMMEDIATE");
        return;
      } catch (error) {
        if (tried >= busyTries || !isBusy(failureOf(error).code)) throw error;
      }
    }
  }

  /** Runs one set inside the open transaction; throws only when the transaction itself is gone. */
  #apply(set: readonly BoundStatement[]): WireOutcome {
    // A single statement that SQLite refuses leaves nothing behind; several, or an unmet expectation, need a savepoint.
    const guarded = set.length > 1 || set.some((statement) => statement.expect >= 0);
    if (guarded) this.#database.exec("SAVEPOINT one_set");
    try {
      const results = set.map((statement, index) => {
        const result = this.#run(statement);
        const affected = typeof result === "number" ? result : result.rows.length;
        if (statement.expect >= 0 && affected !== statement.expect) throw new ExpectationError(index);
        return result;
      });
      if (guarded) this.#database.exec("RELEASE one_set");
      return { results };
    } catch (error) {
      if (!this.#database.inTransaction) throw error;
      if (guarded) this.#database.exec("ROLLBACK TO one_set; RELEASE one_set");
      return { failure: failureOf(error) };
    }
  }

  #run({ sql, params }: BoundStatement): WireResult {
    const { statement, placeholders, columns } = this.#prepare(sql);
    if (params.length !== placeholders)
      throw new TypeError(`${placeholders} parameters wanted, ${params.length} given`);
    const values = params.map(bindable);
    if (columns === undefined) {
      const { changes } = statement.run(values);
      if (/^\s*(create|drop|alter|pragma)\b/i.test(sql)) this.#prepared.clear();
      return changes;
    }
    const rows = statement.all(values) as unknown[][];
    for (const row of rows) for (let index = 0; index < row.length; index++) row[index] = sqlValue(row[index]);
    return { columns, rows: rows as SqlValue[][] }; // every cell went through sqlValue
  }

  #prepare(sql: string): Prepared {
    const known = this.#prepared.get(sql);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(sql);
    const columns = statement.reader
      ? statement
          .raw(true)
          .columns()
          .map((column) => column.name)
      : undefined;
    const prepared = { statement, columns, placeholders: countPlaceholders(sql) };
    if (this.#prepared.size >= preparedMax) this.#prepared.clear();
    this.#prepared.set(sql, prepared);
    return prepared;
  }

  #rollBack(): void {
    if (this.#database.inTransaction) this.#database.exec("ROLLBACK");
  }
}

/** A cell as our callers see it. RangeError for a number that a JavaScript number can't hold exactly. */
function sqlValue(cell: unknown): SqlValue {
  if (typeof cell === "number") {
    if (Number.isInteger(cell) && !Number.isSafeInteger(cell))
      throw new RangeError("a number outside ±2^53-1 was read");
    return cell;
  }
  if (cell === null || typeof cell === "string") return cell;
  if (cell instanceof Uint8Array) return new Uint8Array(cell.buffer as ArrayBuffer, cell.byteOffset, cell.byteLength);
  if (cell instanceof ArrayBuffer) return new Uint8Array(cell);
  throw new TypeError("a value of an unknown kind was read");
}

/** SQLite gives its side files the mode of the database file, so this one must be private from the start. */
function createPrivately(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  closeSync(openSync(path, "a", 0o600));
}
