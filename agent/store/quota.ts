import { Fault } from "#lib/fault";

/** What a lane may hold although others have used the total up: one stuck plugin must not stop its neighbours. */
export const laneFloorBytes = 2 * 1024 * 1024;

/** Bytes and messages that lie in one direction of the lanes, against a limit per lane and one in all. */
export class Quota {
  readonly #totalBytesMax: number;
  readonly #lanes = new Map<number, { bytes: number; messages: number; bytesMax: number }>();
  #bytes = 0;

  constructor(totalBytesMax: number) {
    this.#totalBytesMax = totalBytesMax;
  }

  /** The limit of one lane; at most the total. */
  limit(lane: number, bytesMax: number): void {
    this.#lane(lane).bytesMax = Math.min(bytesMax, this.#totalBytesMax);
  }

  /** Whether `bytes` more fit. A lane that holds nothing always takes one more, so that no single body is stuck for ever. */
  fits(lane: number, bytes: number): boolean {
    const held = this.#lane(lane);
    if (held.bytes === 0) return true;
    if (held.bytes + bytes > held.bytesMax) return false;
    return this.#bytes + bytes <= this.#totalBytesMax || held.bytes + bytes <= laneFloorBytes;
  }

  /** Takes room before a write, so that writes under way count too. Fault `lane_full`. */
  reserve(lane: number, bytes: number, messages: number): void {
    if (!this.fits(lane, bytes)) throw new Fault("lane_full");
    this.add(lane, bytes, messages);
  }

  add(lane: number, bytes: number, messages: number): void {
    const held = this.#lane(lane);
    held.bytes += bytes;
    held.messages += messages;
    this.#bytes += bytes;
  }

  remove(lane: number, bytes: number, messages: number): void {
    this.add(lane, -bytes, -messages);
  }

  held(lane: number): { readonly bytes: number; readonly messages: number } {
    return this.#lane(lane);
  }

  #lane(lane: number) {
    let held = this.#lanes.get(lane);
    if (held === undefined) {
      held = { bytes: 0, messages: 0, bytesMax: this.#totalBytesMax };
      this.#lanes.set(lane, held);
    }
    return held;
  }
}
