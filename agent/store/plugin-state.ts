import type { Database, Statement } from "#lib/runtime";

/** What one plugin remembers by name; written only in one transaction with its outbox rows, or by itself. */
export class PluginState {
  readonly #database: Database;
  readonly #plugin: string;

  constructor(database: Database, plugin: string) {
    this.#database = database;
    this.#plugin = plugin;
  }

  async get(name: string): Promise<string | undefined> {
    const [row] = await this.#database.values("SELECT value FROM plugin_state WHERE plugin = ? AND name = ?", [
      this.#plugin,
      name,
    ]);
    return typeof row?.[0] === "string" ? row[0] : undefined;
  }

  /** Names that begin with `prefix`, the oldest first; at most `limit`. */
  async names(prefix: string, limit: number): Promise<string[]> {
    const rows = await this.#database.values(
      "SELECT name FROM plugin_state WHERE plugin = ? AND substr(name, 1, ?) = ? ORDER BY at LIMIT ?",
      [this.#plugin, prefix.length, prefix, limit],
    );
    return rows.map(([name]) => String(name));
  }

  /** A statement that sets `name`; null forgets it. */
  set(name: string, value: string | null, now: number): Statement {
    if (value === null)
      return { sql: "DELETE FROM plugin_state WHERE plugin = ? AND name = ?", params: [this.#plugin, name] };
    return {
      sql: `INSERT INTO plugin_state (plugin, name, value, at) VALUES (?, ?, ?, ?)
            ON CONFLICT (plugin, name) DO UPDATE SET value = excluded.value, at = excluded.at`,
      params: [this.#plugin, name, value, now],
    };
  }

  /** A statement that forgets what begins with `prefix` and is older than `before`. */
  forget(prefix: string, before: number): Statement {
    return {
      sql: "DELETE FROM plugin_state WHERE plugin = ? AND substr(name, 1, ?) = ? AND at < ?",
      params: [this.#plugin, prefix.length, prefix, before],
    };
  }

  async write(set: readonly Statement[]): Promise<void> {
    await this.#database.write(set);
  }
}
