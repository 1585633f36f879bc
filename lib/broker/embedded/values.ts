import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import type { Statement } from "#lib/runtime";
import type { Value, ValueName } from "../broker.ts";
import { nodeLifeMs } from "../lifetimes.ts";
import { subjectOf, valueNameOf } from "../subjects.ts";
import type { EmbeddedStore } from "./embedded-store.ts";
import type { Mailbox } from "./mailbox.ts";

const listMax = 100_000;

interface Row {
  readonly name: string;
  readonly body: Uint8Array<ArrayBuffer>;
  readonly revision: number;
  readonly time: number;
}

/** Last values in the broker's file. */
export class Values {
  readonly #store: EmbeddedStore;
  readonly #clock: Clock;
  readonly #mailbox: Mailbox;

  constructor(store: EmbeddedStore, clock: Clock, mailbox: Mailbox) {
    this.#store = store;
    this.#clock = clock;
    this.#mailbox = mailbox;
  }

  async get(name: ValueName): Promise<Value | undefined> {
    const [row] = await this.#store.read<Row>(
      "SELECT name, body, revision, time FROM value WHERE name = ? AND time > ?",
      [subjectOf(name), this.#oldest(name.kind)],
    );
    return row === undefined ? undefined : valueOfRow(row);
  }

  async list(kind: "node" | "agent"): Promise<{ name: ValueName; value: Value }[]> {
    const rows = await this.#store.read<Row>(
      "SELECT name, body, revision, time FROM value WHERE kind = ? AND time > ? ORDER BY name LIMIT ?",
      [kind, this.#oldest(kind), listMax],
    );
    return rows.flatMap((row) => {
      const name = valueNameOf(row.name);
      return name === undefined ? [] : [{ name, value: valueOfRow(row) }];
    });
  }

  async put(name: ValueName, bytes: Uint8Array, expect: number | undefined): Promise<number> {
    const subject = subjectOf(name);
    const set = [
      { sql: "UPDATE stream SET revision = revision + 1" },
      ...this.#dropExpired(name),
      write(name.kind, subject, bytes, this.#clock.now(), expect),
      this.#mailbox.statement(subject, bytes),
    ];
    const results = await this.#compare(() => this.#store.write(set));
    this.#mailbox.deliver(subject, bytes);
    const revision = results.at(-2)?.rows[0]?.revision;
    if (typeof revision !== "number") throw new TypeError("a written value has a revision");
    return revision;
  }

  async remove(name: ValueName, expect: number | undefined): Promise<void> {
    const subject = subjectOf(name);
    const nothing = new Uint8Array(0);
    const where = expect === undefined ? "name = ?" : "name = ? AND revision = ?";
    const sql = `DELETE FROM value WHERE ${where}`;
    const removal: Statement =
      expect === undefined
        ? { sql, params: [subject] }
        : { sql, params: [subject, expect], expect: expect === 0 ? 0 : 1 };
    await this.#compare(() => this.#store.write([removal, this.#mailbox.statement(subject, nothing)]));
    this.#mailbox.deliver(subject, nothing);
  }

  #dropExpired(name: ValueName): Statement[] {
    const oldest = this.#oldest(name.kind);
    return oldest < 0
      ? []
      : [{ sql: "DELETE FROM value WHERE name = ? AND time <= ?", params: [subjectOf(name), oldest] }];
  }

  #oldest(kind: ValueName["kind"]): number {
    return kind === "node" ? this.#clock.now() - nodeLifeMs : -1;
  }

  async #compare<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Fault && error.code === "conflict")) throw error;
      throw new Fault("conflict", "the value has another revision", { cause: error });
    }
  }
}

function write(kind: string, subject: string, bytes: Uint8Array, now: number, expect: number | undefined): Statement {
  if (expect !== undefined && expect > 0)
    return {
      sql: `UPDATE value SET body = ?, revision = (SELECT revision FROM stream), time = ?
        WHERE name = ? AND revision = ? RETURNING revision`,
      params: [bytes, now, subject, expect],
      expect: 1,
    };
  const replace =
    "ON CONFLICT (name) DO UPDATE SET body = excluded.body, revision = excluded.revision, time = excluded.time";
  return {
    sql: `INSERT INTO value (name, kind, body, revision, time)
      VALUES (?, ?, ?, (SELECT revision FROM stream), ?) ${expect === 0 ? "" : replace} RETURNING revision`,
    params: [subject, kind, bytes, now],
  };
}

function valueOfRow({ body, revision, time }: Row): Value {
  return { bytes: body, revision, timeMs: time };
}
