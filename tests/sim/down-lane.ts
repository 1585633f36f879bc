import { decodeJson, encodeJson } from "#lib/bytes";
import { resumePoint } from "#lib/delivery";
import { type Link, type MuxStream, messageStream } from "#lib/link";
import { type Cursor, downDownSchema, downUpSchema, sessionStreams } from "#lib/session";
import type { Bug } from "./bugs.ts";
import type { SimProcess } from "./sim-process.ts";
import type { SimTime } from "./sim-time.ts";

const plugin = "erp";
const unconfirmedMax = 8;

/** Messages from cloud to site (DESIGN §4): a broker that may lose its end, a Nexus that opens the lane at a cursor, an inbox. */
export class DownLane {
  readonly #time: SimTime;
  readonly #bug: Bug | undefined;
  /** The broker's stream: entry `index` has sequence `index + 1`. */
  readonly #entries: number[] = [];
  #published = 0;
  /** Durable at the site, in one transaction. */
  #cursor: Cursor | undefined;
  readonly #stored: number[] = [];
  readonly #holes: string[] = [];
  /** What is published while the broker is away. */
  #waiting: number[] | undefined;
  /** Sequence of the last entry that the power cut left. */
  #lostAt: number | undefined;
  #reopen: () => void = () => undefined;
  #lives = 0;

  constructor(time: SimTime, bug: Bug | undefined) {
    this.#time = time;
    this.#bug = bug;
    const { random } = time;
    for (let count = random.integer(20, 120); count > 0; count--)
      time.after(random.integer(0, 40_000), () => {
        this.#publish(++this.#published);
        if (random.integer(0, 9) === 0) this.#publish(this.#published); // an answer was lost: again under the same id
      });
    if (random.integer(0, 1) === 0) time.after(random.integer(5_000, 38_000), () => this.#loseEnd());
  }

  check(): string | undefined {
    const wrong = this.#stored.findIndex((id, index) => id !== index + 1);
    return wrong < 0 ? this.#holes[0] : `down: message ${this.#stored[wrong]} is stored as number ${wrong + 1}`;
  }

  judge(): string[] {
    return this.#stored.length === this.#published ? [] : [`down: ${this.#stored.length} of ${this.#published} came`];
  }

  /** The site's side: what came again is passed over, what is new is stored with its cursor, then confirmed. */
  node(link: Link, process: SimProcess): void {
    const down = messageStream(link.open(sessionStreams.down), { outgoing: downUpSchema, incoming: downDownSchema });
    const open = () => void down.send({ type: "open", plugin, cursor: this.#cursor ?? null }).catch(() => undefined);
    const store = async () => {
      for await (const said of down.receive()) {
        if (said.type === "refused") process.clock.after(100, open);
        if (said.type !== "entry") continue;
        const { cursor, body } = said;
        const stored = this.#cursor?.created === cursor.created ? this.#cursor.seq : 0;
        if (cursor.seq > stored) {
          if (cursor.seq !== stored + 1) this.#holes.push(`down: entry ${cursor.seq} came after ${stored}`);
          await process.sleep(this.#time.random.integer(0, 20)); // the disk; a kill loses both or none
          const id = decodeJson(Uint8Array.from(body)) as number; // our own
          if (!this.#stored.includes(id)) this.#stored.push(id);
          this.#cursor = cursor;
        }
        await down.send({ type: "stored", plugin, cursor });
      }
    };
    open();
    store().catch(() => undefined); // the session's end
  }

  nexus(stream: MuxStream, process: SimProcess): void {
    const down = messageStream(stream, { outgoing: downDownSchema, incoming: downUpSchema });
    let life = 0;
    let confirmed = 0;
    const forward = (created: string, from: number, own: number) => {
      if (own !== life) return;
      let seq = from;
      while (seq < this.#entries.length && seq - confirmed < unconfirmedMax) {
        const body = encodeJson(this.#entries[seq] ?? 0);
        seq++;
        const entry = {
          type: "entry",
          plugin,
          cursor: { created, seq },
          time: Math.floor(this.#time.now()),
          body,
        } as const;
        down.send(entry).catch(() => undefined); // the session's end
      }
      process.clock.after(200, () => forward(created, seq, own));
    };
    down.deliver({
      message: (said) => {
        if (said.type === "stored") confirmed = Math.max(confirmed, said.cursor.seq);
        if (said.type !== "open") return;
        const beforeLoss = this.#lostAt !== undefined && said.cursor?.created === "stream";
        const state = { created: "stream", lastSeq: beforeLoss ? (this.#lostAt ?? 0) : this.#entries.length };
        const point = resumePoint(said.cursor ?? undefined, state, () => `${++this.#lives}`);
        const created = this.#bug === "cursor-kept" ? "stream" : point.created;
        const from = this.#bug === "cursor-kept" ? Math.min(said.cursor?.seq ?? 0, this.#entries.length) : point.from;
        confirmed = from;
        for (const id of this.#waiting?.splice(0) ?? []) this.#entries.push(id);
        this.#waiting = undefined;
        life++;
        forward(created, from, life);
      },
      ended: () => {
        life = -1;
      },
    });
    this.#reopen = () => {
      life = -1;
      void down.send({ type: "refused", plugin, code: "unavailable" }).catch(() => undefined);
      life = this.#lives + 1_000;
    };
  }

  #publish(id: number): void {
    (this.#waiting ?? this.#entries).push(id);
  }

  /**
   * A power cut: the broker gives out numbers again that the site has already stored. What comes before the lane is opened again
   * waits: a stream that has grown past the cursor by then can't be told from one that lost nothing. So the broker of this model answers a cursor
   * from before the cut with where the cut was, until the site has stored something of the next life.
   */
  #loseEnd(): void {
    const kept = Math.max(0, (this.#cursor?.seq ?? 0) - this.#time.random.integer(1, 10));
    const lost = this.#entries.splice(kept);
    this.#lostAt = kept;
    // What the site had not stored yet is published again by whoever waits for its status.
    this.#waiting = lost.filter((id) => !this.#stored.includes(id));
    this.#reopen();
  }
}
