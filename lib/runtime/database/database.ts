/** What a column or parameter holds. Integers are safe integers (±2^53-1), blobs are bytes, booleans go in as 0 / 1. */
export type SqlValue = null | number | string | Uint8Array<ArrayBuffer>;

/** What may be bound to a `?`. A bigint must be a safe integer; a boolean is bound as 0 / 1; a text may hold no NUL (Fault `invalid`). */
export type SqlParameter = null | number | bigint | boolean | string | Uint8Array;

/** A row by column name. */
export type SqlRow = Readonly<Record<string, SqlValue>>;

/** One SQL statement with its positional (`?`) parameters, as many as the text has. */
export interface Statement {
  readonly sql: string;
  readonly params?: readonly SqlParameter[];
  /**
   * How many rows it must change (or return, with RETURNING). Any other number rolls its whole set back and rejects
   * with Fault `conflict`, detail `expectation` = index of the statement. This is how an optimistic write is guarded.
   */
  readonly expect?: number;
}

/** What one statement of a written set did. */
export interface Result {
  /** Rows inserted, updated or deleted; with RETURNING the number of rows returned. */
  readonly rowsAffected: number;
  /** Rows of RETURNING; else empty. */
  readonly rows: readonly SqlRow[];
}

/**
 * One database. A local file lives in a Worker of its own, so a commit never stops the thread that asked.
 * Rejects with Faults: `conflict` (detail `constraint`: table and columns, never values; or `expectation`), `invalid` (CHECK, NOT NULL),
 * `disk_full`, `database_key`, `database` (all else; after busy retries too), `closed`.
 */
export interface Database extends AsyncDisposable {
  /** Rows of a query by column name. Sees every write that was answered before the call. */
  read<Row extends object = SqlRow>(sql: string, params?: readonly SqlParameter[]): Promise<Row[]>;
  /** Rows as arrays in column order: no names to build, and what drizzle's sqlite-proxy wants. */
  values(sql: string, params?: readonly SqlParameter[]): Promise<SqlValue[][]>;
  /**
   * Applies `set` whole or not at all; resolves when it is durable. Sets that gather while a commit runs share the next
   * one (at most 200 statements and 4 MiB); one that fails does so alone. An empty set resolves at once. With `later` it waits up to
   * 20 ms for a commit that it may share: for what nobody waits for, since each commit costs a disk its time.
   */
  write(set: readonly Statement[], options?: { readonly later?: boolean }): Promise<Result[]>;
}
