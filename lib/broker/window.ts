import { Fault } from "#lib/fault";
import { laneUnconfirmedBytesMax, laneUnconfirmedMax } from "#lib/limits";
import type { OpenOptions } from "./broker.ts";

/** An entry that its reader has, and has not confirmed. */
export interface Unconfirmed {
  readonly seq: number;
  readonly size: number;
}

/** What a reader has been given and has confirmed: its back-pressure. */
export class Window<Item extends Unconfirmed> {
  readonly #countMax: number;
  readonly #bytesMax: number;
  readonly #items: Item[] = [];
  #bytes = 0;
  #delivered: number;
  #confirmed: number;

  /** `from`: everything through it was confirmed before. */
  constructor(from: number, options: Pick<OpenOptions, "unconfirmedMax" | "unconfirmedBytesMax">) {
    this.#delivered = from;
    this.#confirmed = from;
    this.#countMax = options.unconfirmedMax ?? laneUnconfirmedMax;
    this.#bytesMax = options.unconfirmedBytesMax ?? laneUnconfirmedBytesMax;
  }

  /** Sequence of the last entry that the reader was given. */
  get delivered(): number {
    return this.#delivered;
  }

  get confirmed(): number {
    return this.#confirmed;
  }

  get empty(): boolean {
    return this.#items.length === 0;
  }

  get items(): readonly Item[] {
    return this.#items;
  }

  /** Entries and bytes that may still be given. */
  room(): { readonly count: number; readonly bytes: number } {
    return { count: this.#countMax - this.#items.length, bytes: this.#bytesMax - this.#bytes };
  }

  /** Whether an entry of this size may be given now: one that is larger than the whole window, only alone. */
  fits(size: number): boolean {
    const { count, bytes } = this.room();
    return this.empty || (count > 0 && size <= bytes);
  }

  /** The reader is given an entry behind all others. */
  add(item: Item): void {
    this.#delivered = item.seq;
    this.#bytes += item.size;
    this.#items.push(item);
  }

  /**
   * Takes out everything through `seq`; nothing for one that is confirmed already. Fault `bad_request` for what was never
   * delivered: a peer's word must not empty a lane.
   */
  confirm(seq: number): Item[] {
    if (seq <= this.#confirmed) return [];
    if (seq > this.#delivered) throw new Fault("bad_request", "confirmed what was not delivered");
    this.#confirmed = seq;
    const behind = this.#items.findIndex((item) => item.seq > seq);
    const taken = this.#items.splice(0, behind < 0 ? this.#items.length : behind);
    for (const { size } of taken) this.#bytes -= size;
    return taken;
  }
}
