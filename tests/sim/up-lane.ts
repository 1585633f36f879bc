import { decodeJson, encodeJson } from "#lib/bytes";
import { cutBatch, takeNumbers, type Watermark } from "#lib/delivery";
import { type Link, type MuxStream, messageStream } from "#lib/link";
import { sessionStreams, upDownSchema, upUpSchema } from "#lib/session";
import type { Bug } from "./bugs.ts";
import type { SimProcess } from "./sim-process.ts";
import type { SimTime } from "./sim-time.ts";

const schemas = { outgoing: upUpSchema, incoming: upDownSchema };
const plugin = "erp";

interface Entry {
  readonly generation: number;
  readonly first: number;
  readonly ids: readonly number[];
}

/** Messages from site to cloud (DESIGN §4): outbox, a Nexus that publishes, a broker that repeats, an ingest that is restarted. */
export class UpLane {
  readonly #time: SimTime;
  readonly #bug: Bug | undefined;
  /** Durable at the site: what the broker has not acknowledged. */
  readonly #outbox: number[] = [];
  #made = 0;
  #first = 1;
  readonly #broker: Entry[] = [];
  /** Durable at Solaris, in one transaction. */
  readonly #stored: number[] = [];
  #watermark: Watermark = { generation: 1, number: 0 };
  #read = 0;

  constructor(time: SimTime, bug: Bug | undefined) {
    this.#time = time;
    this.#bug = bug;
    for (let count = time.random.integer(20, 120); count > 0; count--)
      time.after(time.random.integer(0, 40_000), () => this.#outbox.push(++this.#made));
    this.#ingest();
  }

  /** What is stored is what was made, in order, once. */
  check(): string | undefined {
    const wrong = this.#stored.findIndex((id, index) => id !== index + 1);
    return wrong < 0 ? undefined : `up: message ${this.#stored[wrong]} is stored as number ${wrong + 1}`;
  }

  judge(): string[] {
    return this.#stored.length === this.#made ? [] : [`up: ${this.#stored.length} of ${this.#made} came`];
  }

  /** The site's side of a session: one publish in flight, which carries all that waits. */
  node(link: Link, process: SimProcess): void {
    const up = messageStream(link.open(sessionStreams.up), schemas);
    let waiting = false;
    const publish = () => {
      if (!waiting && this.#outbox.length > 0) {
        const count = cutBatch(this.#outbox.map(() => ({ bytes: 20_000, messages: 1 })));
        const body = encodeJson(this.#outbox.slice(0, count));
        waiting = true;
        up.send({ type: "publish", plugin, generation: 1, first: this.#first, count, body }).catch(() => undefined); // its end
      }
      process.clock.after(200, publish);
    };
    up.deliver({
      message: (said) => {
        waiting = false;
        if (said.type !== "published") return;
        this.#outbox.splice(0, said.first + said.count - this.#first);
        this.#first = said.first + said.count;
      },
      ended: () => undefined,
    });
    publish();
  }

  /** The side of Nexus: what it has begun to publish may reach the broker after its own end. */
  nexus(stream: MuxStream, process: SimProcess): void {
    const up = messageStream(stream, { outgoing: upDownSchema, incoming: upUpSchema });
    up.deliver({
      message: ({ generation, first, count, body }) => {
        const { random } = this.#time;
        this.#time.after(random.integer(0, random.pick([3, 3, 3_000])), () => {
          this.#broker.push({ generation, first, ids: decodeJson(Uint8Array.from(body)) as number[] }); // our own
          process.clock.after(random.integer(0, 30), () =>
            up.send({ type: "published", plugin, generation, first, count }).catch(() => undefined),
          );
        });
      },
      ended: () => undefined,
    });
  }

  #ingest(): void {
    const { random } = this.#time;
    const entry = this.#broker[this.#read];
    if (entry !== undefined) {
      const { generation, first, ids } = entry;
      const taking = takeNumbers(this.#watermark, { generation, first, count: ids.length });
      if (taking.take === "refuse") this.#stored.push(-1); // shows as a message at the wrong place
      if (taking.take === "new") {
        this.#stored.push(...ids.slice(taking.skip));
        this.#watermark = taking.watermark;
      }
      this.#read++;
    }
    if (random.integer(0, 40) === 0) {
      // Another replica takes over and gets what was not confirmed again.
      this.#read = Math.max(0, this.#read - random.integer(0, 6));
      if (this.#bug === "stale-watermark") {
        const { generation, number } = this.#watermark;
        this.#watermark = { generation, number: Math.max(0, number - 1) };
      }
    }
    this.#time.after(random.integer(1, 400), () => this.#ingest());
  }
}
