import { Database } from "bun:sqlite";

export interface Order {
  readonly number: string;
  readonly sku: string;
  readonly quantity: number;
}

export interface StockChange {
  readonly id: number;
  readonly sku: string;
  readonly delta: number;
  readonly order: string;
}

/** What the ERP knows after all that happened: an order taken twice shows as `orders > distinctOrders`. */
export interface Summary {
  readonly orders: number;
  readonly distinctOrders: number;
  readonly repeatedKeys: number;
  readonly stockChanges: number;
}

/** The ERP's books: one SQLite file, every order and its stock change in one transaction. */
export class Ledger implements Disposable {
  readonly #database: Database;

  constructor(path: string) {
    this.#database = new Database(path, { create: true, strict: true });
    this.#database.run("PRAGMA journal_mode = WAL");
    this.#database.run("PRAGMA synchronous = FULL");
    this.#database.run(
      "CREATE TABLE IF NOT EXISTS orders (row INTEGER PRIMARY KEY, number TEXT NOT NULL, sku TEXT NOT NULL, quantity INTEGER NOT NULL, idempotency_key TEXT)",
    );
    this.#database.run(
      "CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, row INTEGER NOT NULL, seen INTEGER NOT NULL)",
    );
    this.#database.run(
      'CREATE TABLE IF NOT EXISTS stock_changes (id INTEGER PRIMARY KEY, sku TEXT NOT NULL, delta INTEGER NOT NULL, "order" TEXT NOT NULL)',
    );
  }

  /** Books an order. With a key that was seen before, answers the first booking and books nothing. */
  book(order: Order, key: string | undefined): { row: number; repeated: boolean } {
    return this.#database.transaction(() => {
      if (key !== undefined) {
        const known = this.#database.query<{ row: number }, [string]>("SELECT row FROM keys WHERE key = ?").get(key);
        if (known) {
          this.#database.run("UPDATE keys SET seen = seen + 1 WHERE key = ?", [key]);
          return { row: known.row, repeated: true };
        }
      }
      const { lastInsertRowid } = this.#database.run(
        "INSERT INTO orders (number, sku, quantity, idempotency_key) VALUES (?, ?, ?, ?)",
        [order.number, order.sku, order.quantity, key ?? null],
      );
      const row = Number(lastInsertRowid);
      if (key !== undefined) this.#database.run("INSERT INTO keys (key, row, seen) VALUES (?, ?, 1)", [key, row]);
      this.#database.run('INSERT INTO stock_changes (sku, delta, "order") VALUES (?, ?, ?)', [
        order.sku,
        -order.quantity,
        order.number,
      ]);
      return { row, repeated: false };
    })();
  }

  /** Order numbers in the order in which they were booked. */
  numbers(): string[] {
    return this.#database
      .query<{ number: string }, []>("SELECT number FROM orders ORDER BY row")
      .all()
      .map(({ number }) => number);
  }

  /** Stock changes after `since`, oldest first. */
  stockChanges(since: number, limit: number): StockChange[] {
    return this.#database
      .query<StockChange, [number, number]>(
        'SELECT id, sku, delta, "order" FROM stock_changes WHERE id > ? ORDER BY id LIMIT ?',
      )
      .all(since, limit);
  }

  summary(): Summary {
    const row = this.#database
      .query<Summary, []>(
        `SELECT (SELECT count(*) FROM orders) AS orders, (SELECT count(DISTINCT number) FROM orders) AS distinctOrders,
         (SELECT count(*) FROM keys WHERE seen > 1) AS repeatedKeys, (SELECT count(*) FROM stock_changes) AS stockChanges`,
      )
      .get();
    if (!row) throw new TypeError("a select without a table gave no row");
    return row;
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
