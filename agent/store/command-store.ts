import type { Database, Statement } from "#lib/runtime";

/** Commands taken, so that each runs once (PROTOCOL §8), and their answers. */
export class CommandStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Whether this is the first time; remembers it durably before it runs. Ids out of date are forgotten. */
  async take(id: string, expires: number, now: number): Promise<boolean> {
    const [, taken] = await this.#database.write([
      { sql: "DELETE FROM command WHERE expires < ? AND answered = 1", params: [now - 3_600_000] },
      { sql: "INSERT OR IGNORE INTO command (id, expires) VALUES (?, ?)", params: [id, expires] },
    ]);
    return taken?.rowsAffected === 1;
  }

  /** A statement that marks one answered: part of the transaction that stores its answer. */
  answered(id: string): Statement {
    return { sql: "UPDATE command SET answered = 1 WHERE id = ? AND answered = 0", params: [id], expect: 1 };
  }

  /** Commands that were begun and never answered: the process ended in between. */
  async unanswered(): Promise<string[]> {
    const rows = await this.#database.values("SELECT id FROM command WHERE answered = 0");
    return rows.map(([id]) => String(id));
  }
}
