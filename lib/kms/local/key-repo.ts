import type { Database, Statement } from "#lib/runtime";

/** A row of `key`. */
export interface KeyRow {
  readonly name: string;
  readonly kind: "sign" | "agree" | "data";
  readonly public: Uint8Array<ArrayBuffer>;
  /** Under the current key-encryption key; null once destroyed. */
  readonly wrapped: Uint8Array<ArrayBuffer> | null;
  readonly next_kek: string | null;
  /** Under the successor, while a rotation runs. */
  readonly next_wrapped: Uint8Array<ArrayBuffer> | null;
  /** The current key-encryption key, read in the same moment. */
  readonly kek: string;
}

/** The row of `kek`. */
export interface KekRow {
  readonly current: string;
  readonly next: string | null;
  readonly former: Uint8Array<ArrayBuffer> | null;
}

const columns = "name, kind, public, wrapped, next_kek, next_wrapped, (SELECT current FROM kek) AS kek";

/** The one place that knows the tables. */
export class KeyRepo {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async key(name: string): Promise<KeyRow | undefined> {
    const [row] = await this.#database.read<KeyRow>(`SELECT ${columns} FROM key WHERE name = ?`, [name]);
    return row;
  }

  async kek(): Promise<KekRow | undefined> {
    const [row] = await this.#database.read<KekRow>("SELECT current, next, former FROM kek");
    return row;
  }

  /** Makes `id` the current key-encryption key of an empty database; does nothing in another. */
  async begin(id: string): Promise<void> {
    await this.#database.write([
      { sql: "INSERT INTO kek (one, current) VALUES (1, ?) ON CONFLICT DO NOTHING", params: [id] },
    ]);
  }

  /** Stores a new key, unless the name is taken or `kek` is no longer the current key-encryption key. */
  async insert(
    row: Pick<KeyRow, "name" | "kind" | "public" | "kek"> & { readonly wrapped: Uint8Array },
    createdMs: number,
  ): Promise<void> {
    const sql =
      "INSERT INTO key (name, kind, public, wrapped, created_at) SELECT ?, ?, ?, ?, ? " +
      "WHERE (SELECT current FROM kek) = ? ON CONFLICT (name) DO NOTHING";
    const params = [row.name, row.kind, row.public, row.wrapped, createdMs, row.kek];
    await this.#database.write([{ sql, params }]);
  }

  /** Removes the private key and keeps the name. */
  async destroy(name: string, nowMs: number): Promise<void> {
    const sql =
      "UPDATE key SET wrapped = NULL, next_kek = NULL, next_wrapped = NULL, destroyed_at = ? " +
      "WHERE name = ? AND destroyed_at IS NULL";
    await this.#database.write([{ sql, params: [nowMs, name] }]);
  }

  /** Notes that `next` succeeds `current`; Fault `conflict` when another rotation runs or `current` is not it. */
  async beginRotation(current: string, next: string, former: Uint8Array): Promise<void> {
    const sql = "UPDATE kek SET next = ?, former = ? WHERE current = ? AND (next IS NULL OR next = ?)";
    await this.#database.write([{ sql, params: [next, former, current, next], expect: 1 }]);
  }

  /** Up to `limit` keys that are not wrapped under `next` yet. */
  notRewrapped(next: string, limit: number): Promise<KeyRow[]> {
    const sql = `SELECT ${columns} FROM key WHERE wrapped IS NOT NULL AND next_kek IS NOT ? LIMIT ?`;
    return this.#database.read<KeyRow>(sql, [next, limit]);
  }

  /** Stores second wrappings, each only beside the first one that it was made from. */
  async addWrappings(next: string, rows: readonly (KeyRow & { readonly rewrapped: Uint8Array })[]): Promise<void> {
    const sql = "UPDATE key SET next_kek = ?, next_wrapped = ? WHERE name = ? AND wrapped = ?";
    const set = rows.map(
      ({ name, wrapped, rewrapped }): Statement => ({ sql, params: [next, rewrapped, name, wrapped] }),
    );
    await this.#database.write(set);
  }

  /** Makes `next` the current one, in one transaction, if every key is wrapped under it by then. */
  async finishRotation(current: string, next: string): Promise<void> {
    await this.#database.write([
      {
        sql:
          "UPDATE kek SET current = next, next = NULL, former = NULL WHERE current = ? AND next = ? " +
          "AND NOT EXISTS (SELECT 1 FROM key WHERE wrapped IS NOT NULL AND next_kek IS NOT ?)",
        params: [current, next, next],
      },
      {
        sql:
          "UPDATE key SET wrapped = next_wrapped, next_kek = NULL, next_wrapped = NULL " +
          "WHERE next_kek = ? AND (SELECT current FROM kek) = ?",
        params: [next, next],
      },
    ]);
  }
}
