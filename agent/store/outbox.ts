import type { Bytes } from "#lib/bytes";
import { cutBatch } from "#lib/delivery";
import { batchMessagesMax } from "#lib/limits";
import type { Database, Statement } from "#lib/runtime";
import type { UpWatermark } from "#lib/session";
import { type LaneRow, laneSpan, numberOf } from "./lane-row.ts";
import type { Quota } from "./quota.ts";
import { appendUp, type EncodedUp, upBytes } from "./up-letters.ts";

/** Messages that follow one another in a lane's outbox, joined to what one entry may hold. */
export interface OutboxBatch {
  readonly generation: number;
  readonly first: number;
  readonly count: number;
  /** CBOR of `count` messages, one behind the other. */
  readonly body: Bytes[];
  /** Key of its last row: what follows stands after it. */
  readonly lastK: number;
}

/** One append that waits for its turn. */
interface Waiting {
  readonly messages: readonly EncodedUp[];
  readonly also: readonly Statement[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** How many appends share one row and one commit at most. */
const appendsPerWrite = 256;

/** The up half of one lane: numbered messages, durable before `append` resolves, deleted when the broker has them. */
export class LaneOutbox {
  readonly #database: Database;
  readonly #lane: number;
  readonly #quota: Quota;
  readonly #listeners = new Set<() => void>();
  #waiting: Waiting[] = [];
  #writing = false;
  #generation: number;

  constructor(database: Database, row: LaneRow, quota: Quota) {
    this.#database = database;
    this.#lane = row.id;
    this.#quota = quota;
    this.#generation = row.generation;
  }

  get generation(): number {
    return this.#generation;
  }

  held(): { readonly bytes: number; readonly messages: number } {
    return this.#quota.held(this.#lane);
  }

  /** The quota counts a row before it is written and until it is deleted. */
  get #isEmpty(): boolean {
    return this.#quota.held(this.#lane).messages === 0;
  }

  /** Calls `listener` after messages became durable. */
  onAppended(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Stores messages, and does `also` in the same transaction; resolves when both are durable. Appends that come
   * while a commit runs share the next one; one that can't be done fails alone. Faults: `lane_full`, `disk_full`.
   */
  async append(messages: readonly EncodedUp[], also: readonly Statement[] = []): Promise<void> {
    const bytes = upBytes(messages);
    if (messages.length > 0) this.#quota.reserve(this.#lane, bytes, messages.length);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.push({ messages, also, resolve, reject });
        void this.#flush();
      });
    } catch (error) {
      this.#quota.remove(this.#lane, bytes, messages.length);
      throw error;
    }
    this.#tell();
  }

  /** Appends letters by `write`, whose transaction the given statements must be part of. Faults: `lane_full`, those of `write`. */
  async appendWith(
    letters: readonly EncodedUp[],
    write: (also: readonly Statement[]) => Promise<unknown>,
  ): Promise<void> {
    const bytes = upBytes(letters);
    this.#quota.reserve(this.#lane, bytes, letters.length);
    try {
      await write(appendUp(this.#lane, letters));
    } catch (error) {
      this.#quota.remove(this.#lane, bytes, letters.length);
      throw error;
    }
    this.#tell();
  }

  /** Tells the publisher that there is something new. */
  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** What comes next to be published after row `afterK` (0 = from the start): whole rows, up to one entry's limits. */
  async batch(afterK: number): Promise<OutboxBatch | undefined> {
    if (this.#isEmpty) return undefined;
    const from = Math.max(afterK, this.#lane * laneSpan);
    const to = (this.#lane + 1) * laneSpan;
    // Sizes first: an entry's worth of rows may be one or hundreds, and bodies are read once.
    const sizes = await this.#database.values(
      "SELECT k, generation, first, messages, length(body) FROM outbox WHERE k > ? AND k < ? ORDER BY k LIMIT ?",
      [from, to, batchMessagesMax],
    );
    const [head] = sizes;
    if (head === undefined) return undefined;
    const generation = numberOf(head[1]);
    const pieces = sizes
      .filter(([, rowGeneration]) => rowGeneration === generation)
      .map(([k, , , messages, length]) => ({ k: numberOf(k), messages: numberOf(messages), bytes: numberOf(length) }));
    const taken = pieces.slice(0, cutBatch(pieces));
    const lastK = taken.at(-1)?.k ?? from;
    const count = taken.reduce((sum, { messages }) => sum + messages, 0);
    const rows = await this.#database.values("SELECT body FROM outbox WHERE k > ? AND k <= ? ORDER BY k", [
      from,
      lastK,
    ]);
    const body = rows.flatMap(([part]) => (part instanceof Uint8Array ? [part] : []));
    return { generation, first: numberOf(head[2]), count, body, lastK };
  }

  /** Position of the first dead or unknown letter of stream `created` that stands after row `afterK`. */
  async letterAfter(afterK: number, created: string): Promise<number | undefined> {
    if (this.#isEmpty) return undefined;
    const [row] = await this.#database.values(
      "SELECT MIN(letter) FROM outbox WHERE letter IS NOT NULL AND k > ? AND k < ? AND letter_created = ?",
      [Math.max(afterK, this.#lane * laneSpan), (this.#lane + 1) * laneSpan, created],
    );
    const letter = row?.[0];
    return typeof letter === "number" ? letter : undefined;
  }

  /** The broker has all rows through `lastK`. */
  async acknowledged(lastK: number): Promise<void> {
    await this.#delete("k <= ?", [lastK]);
  }

  /** Number of the next message. */
  async nextNumber(): Promise<number> {
    const [row] = await this.#database.values("SELECT next_number FROM lane WHERE id = ?", [this.#lane]);
    return numberOf(row?.[0]);
  }

  /**
   * Compares the outbox with what ingest has stored (PROTOCOL §6, DESIGN §4). Rows at or below the watermark are done.
   * An outbox behind it comes from an older copy of the store: what it holds is numbered anew under the next
   * generation. Answers whether that happened.
   */
  async reconcile(watermark: UpWatermark): Promise<boolean> {
    const { generation, number } = watermark;
    const behind =
      generation > this.#generation || (generation === this.#generation && number >= (await this.nextNumber()));
    if (!behind) {
      await this.#delete("generation = ? AND first + messages - 1 <= ?", [generation, number]);
      return false;
    }
    const next = generation + 1;
    await this.#database.write([
      {
        sql: `UPDATE outbox SET generation = ?, first = numbered.first
              FROM (SELECT k, 1 + SUM(messages) OVER (ORDER BY k) - messages AS first FROM outbox WHERE k >= ? AND k < ?) AS numbered
              WHERE outbox.k = numbered.k`,
        params: [next, this.#lane * laneSpan, (this.#lane + 1) * laneSpan],
      },
      {
        sql: `UPDATE lane SET generation = ?, next_number = 1 + (
                SELECT COALESCE(SUM(messages), 0) FROM outbox WHERE k >= ? AND k < ?) WHERE id = ?`,
        params: [next, this.#lane * laneSpan, (this.#lane + 1) * laneSpan, this.#lane],
        expect: 1,
      },
    ]);
    this.#generation = next;
    return true;
  }

  /** Counts what lies there: once, before anything else. */
  async count(): Promise<void> {
    const [row] = await this.#database.values(
      "SELECT COALESCE(SUM(bytes), 0), COALESCE(SUM(messages), 0) FROM outbox WHERE k >= ? AND k < ?",
      [this.#lane * laneSpan, (this.#lane + 1) * laneSpan],
    );
    this.#quota.add(this.#lane, numberOf(row?.[0]), numberOf(row?.[1]));
  }

  async #delete(where: string, params: readonly number[]): Promise<void> {
    const [done] = await this.#database.write([
      {
        sql: `DELETE FROM outbox WHERE k >= ? AND k < ? AND ${where} RETURNING bytes, messages`,
        params: [this.#lane * laneSpan, (this.#lane + 1) * laneSpan, ...params],
      },
    ]);
    for (const row of done?.rows ?? []) this.#quota.remove(this.#lane, numberOf(row.bytes), numberOf(row.messages));
  }

  async #flush(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, appendsPerWrite);
      try {
        await this.#write(group);
        for (const one of group) one.resolve();
      } catch (error) {
        if (group.length === 1) group[0]?.reject(error);
        else for (const one of group) await this.#write([one]).then(one.resolve, one.reject);
      }
    }
    this.#writing = false;
  }

  async #write(group: readonly Waiting[]): Promise<void> {
    const messages = group.flatMap((one) => one.messages);
    await this.#database.write([...appendUp(this.#lane, messages), ...group.flatMap(({ also }) => also)]);
  }
}
