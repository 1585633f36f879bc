import type { Clock } from "#lib/clock";
import type { FaultCode } from "#lib/fault";
import type { Digest } from "#lib/session";
import type { Appointment } from "../replica/replica.ts";
import type { PublishedList } from "../replica/revocation-list.ts";
import type { SessionKey } from "../replica/solaris-client.ts";

type Ended = Digest["ended"][number];

/** Ends remembered until a digest took them; past it the full digest alone tells. */
const endedMax = 20_000;
/** Sessions that get a pushed list at once; the others follow after what else waits in the process. */
const pushBatch = 50;
const slots = [0, 1] as const;

/** What the registry needs of a session. */
export interface Registered {
  readonly key: SessionKey;
  readonly identifier: string;
  /** ms since 1970 */
  readonly sinceMs: number;
  readonly open: boolean;
  end(code: FaultCode): void;
  goaway(): void;
  tick(monotonicMs: number): void;
  showPeer(appointment: Appointment): void;
  pushRevocations(list: PublishedList): void;
  deliverOrders(): void;
}

/** All sessions of this replica, and which of them has its slot. */
export class Registry<Item extends Registered = Registered> {
  readonly #clock: Clock;
  readonly #all = new Set<Item>();
  readonly #bySlot = new Map<string, Item>();
  readonly #closing = new Set<Promise<void>>();
  #ended: Ended[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Sessions, ready or not. */
  get size(): number {
    return this.#all.size;
  }

  /** Sessions that data may flow in. */
  *ready(): Iterable<Item> {
    for (const session of this.#bySlot.values()) if (session.open) yield session;
  }

  add(session: Item): void {
    this.#all.add(session);
  }

  /** Gives the slot to `session`, which is ready; the older one in it ends. False when a newer one has it. */
  claim(session: Item): boolean {
    const place = placeOf(session.key);
    const held = this.#bySlot.get(place);
    if (held !== undefined && held !== session) {
      if (held.key.epoch > session.key.epoch) return false;
      held.end("displaced");
    }
    this.#bySlot.set(place, session);
    return true;
  }

  /** Forgets a session that has ended; its slot only when it still holds it. `lanesClosed`: what `drained` waits for. */
  remove(session: Item, wasReady: boolean, code: FaultCode, lanesClosed: Promise<void>): void {
    this.#all.delete(session);
    const place = placeOf(session.key);
    if (this.#bySlot.get(place) === session) this.#bySlot.delete(place);
    if (wasReady && this.#ended.length < endedMax) this.#ended.push({ ...session.key, at: this.#clock.now(), code });
    const closing = lanesClosed.catch(() => undefined).finally(() => this.#closing.delete(closing)); // a lane that can't be closed is fenced by its next opening
    this.#closing.add(closing);
  }

  /** Ends what another replica has displaced: the slot's session when its epoch is older. */
  displace({ agentId, slot, epoch }: SessionKey): void {
    const held = this.#bySlot.get(placeOf({ agentId, slot }));
    if (held !== undefined && held.key.epoch < epoch) held.end("displaced");
  }

  /** The broker hints at something new for an agent. */
  hint(agentId: string): void {
    for (const slot of slots) this.#bySlot.get(placeOf({ agentId, slot }))?.deliverOrders();
  }

  /** There may be something new for every agent: hints were lost. */
  async hintAll(): Promise<void> {
    await this.#each((session) => session.deliverOrders());
  }

  /** The newest session of an agent that data may flow in. */
  sessionOf(agentId: string): Item | undefined {
    let newest: Item | undefined;
    for (const slot of slots) {
      const session = this.#bySlot.get(placeOf({ agentId, slot }));
      if (session?.open && (newest === undefined || session.sinceMs > newest.sinceMs)) newest = session;
    }
    return newest;
  }

  /** Ends all sessions of an agent. */
  endAgent(agentId: string, code: FaultCode): void {
    for (const slot of slots) this.#bySlot.get(placeOf({ agentId, slot }))?.end(code);
  }

  /** Ends what is revoked, then has the others get the list. */
  async revoke(list: PublishedList, revoked: ReadonlySet<string>): Promise<void> {
    for (const session of [...this.#all]) if (revoked.has(session.identifier)) session.end("revoked");
    await this.#each((session) => session.pushRevocations(list));
  }

  /** Shows all agents the replica's renewed credential. */
  async showPeer(appointment: Appointment): Promise<void> {
    await this.#each((session) => session.showPeer(appointment));
  }

  async #each(act: (session: Item) => void): Promise<void> {
    let acted = 0;
    for (const session of [...this.#all]) {
      act(session);
      if (++acted % pushBatch === 0) await new Promise<void>((resolve) => this.#clock.after(0, resolve));
    }
  }

  /** To be called each second. */
  tick(): void {
    const now = this.#clock.monotonic();
    for (const session of [...this.#all]) session.tick(now);
  }

  goaway(): void {
    for (const session of this.#all) session.goaway();
  }

  endAll(code: FaultCode): void {
    for (const session of [...this.#all]) session.end(code);
  }

  /** Resolves when the lanes of all sessions that ended so far are closed. */
  async drained(): Promise<void> {
    await Promise.all(this.#closing);
  }

  /** Takes out what has ended since. */
  takeEnded(): Ended[] {
    const ended = this.#ended;
    this.#ended = [];
    return ended;
  }

  putBackEnded(ended: readonly Ended[]): void {
    this.#ended = [...ended, ...this.#ended].slice(0, endedMax);
  }
}

function placeOf({ agentId, slot }: Pick<SessionKey, "agentId" | "slot">): string {
  return `${agentId}.${slot}`;
}
