import { type DesiredPlugin, nodeLane, pluginSealSchema } from "#lib/session";
import type { Lane } from "../store/lane-store.ts";
import { LaneSeal, type SealParts } from "./lane-seal.ts";

/** No plugin's name for anything: those begin otherwise. */
const noteName = "$seal";

/**
 * The seals of this node's lanes. What a lane is stays with it while its plugin is off or gone, also over a restart: what waits in it
 * is sent and taken as it would have been.
 */
export class LaneSeals {
  readonly #parts: SealParts;
  readonly #seals = new Map<string, LaneSeal>();

  constructor(parts: SealParts) {
    this.#parts = parts;
  }

  /** From now on, durably, the lane is what `desired` says. Faults: those of `LaneSeal.make`. */
  async set(lane: Lane, { name, seal }: Pick<DesiredPlugin, "name" | "seal">): Promise<LaneSeal> {
    const made = await LaneSeal.make(this.#parts, { name, ...(seal === undefined ? {} : { seal }) });
    const note = seal === undefined ? null : JSON.stringify(seal);
    await lane.state.write([lane.state.set(noteName, note, this.#parts.now())]);
    this.#seals.set(name, made);
    return made;
  }

  /** What the lane is. */
  async of(lane: Lane): Promise<LaneSeal> {
    const { name, state } = lane;
    const known = this.#seals.get(name);
    if (known !== undefined) return known;
    const note = name === nodeLane ? undefined : await state.get(noteName);
    const seal = note === undefined ? undefined : pluginSealSchema.parse(JSON.parse(note));
    const made = await LaneSeal.make(this.#parts, { name, ...(seal === undefined ? {} : { seal }) });
    // Meanwhile somebody may have said what it is.
    const now = this.#seals.get(name) ?? made;
    this.#seals.set(name, now);
    return now;
  }
}
