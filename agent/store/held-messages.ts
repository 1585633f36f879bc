import { decodeCbor, encodeCbor } from "#lib/bytes";
import type { Database, SqlRow, Statement } from "#lib/runtime";
import { type DownMessage, downMessageSchema } from "#lib/session";
import { blobOf } from "./identity-store.ts";
import { numberOf } from "./lane-row.ts";
import { definedFields } from "./up-letters.ts";

/** A down message whose outcome can't be known, until a person decides (DESIGN §4). */
export interface HeldMessage {
  readonly message: DownMessage;
  readonly created: string;
  readonly position: number;
}

/** The held messages of one lane. */
export class HeldMessages {
  readonly #database: Database;
  readonly #lane: number;

  constructor(database: Database, lane: number) {
    this.#database = database;
    this.#lane = lane;
  }

  /** A statement that holds a message; repeated, it changes nothing. */
  hold({ message, created, position }: HeldMessage, now: number): Statement {
    const bytes = encodeCbor(definedFields(message));
    return {
      sql: "INSERT OR IGNORE INTO held (lane, id, created, position, at, bytes, message) VALUES (?, ?, ?, ?, ?, ?, ?)",
      params: [this.#lane, message.id, created, position, now, bytes.length, bytes],
    };
  }

  async get(id: string): Promise<HeldMessage | undefined> {
    const [row] = await this.#database.read("SELECT * FROM held WHERE lane = ? AND id = ?", [this.#lane, id]);
    return row === undefined ? undefined : heldOf(row);
  }

  /** The first one that a person wants tried again. */
  async toRetry(): Promise<HeldMessage | undefined> {
    const [row] = await this.#database.read(
      "SELECT * FROM held WHERE lane = ? AND retry = 1 ORDER BY position LIMIT 1",
      [this.#lane],
    );
    return row === undefined ? undefined : heldOf(row);
  }

  /** A statement that marks one to be tried again. */
  retry(id: string, again: boolean): Statement {
    return {
      sql: "UPDATE held SET retry = ? WHERE lane = ? AND id = ?",
      params: [again, this.#lane, id],
      expect: 1,
    };
  }

  /** A statement that lets go of one: it is settled. */
  release(id: string): Statement {
    return { sql: "DELETE FROM held WHERE lane = ? AND id = ?", params: [this.#lane, id], expect: 1 };
  }

  async count(): Promise<number> {
    const [row] = await this.#database.values("SELECT COUNT(*) FROM held WHERE lane = ?", [this.#lane]);
    return numberOf(row?.[0]);
  }
}

function heldOf(row: SqlRow): HeldMessage {
  return {
    message: downMessageSchema.parse(decodeCbor(blobOf(row.message))),
    created: String(row.created),
    position: numberOf(row.position),
  };
}
