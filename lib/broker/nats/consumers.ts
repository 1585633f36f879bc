import { hex } from "#lib/bytes";
import type { Random } from "#lib/clock";
import { Fault } from "#lib/fault";
import { isNatsError, natsError } from "./nats-faults.ts";
import type { NatsLink } from "./nats-link.ts";

/** A throw-away consumer to be made. */
export interface ConsumerWish {
  readonly stream: string;
  readonly filter: string;
  /** Names of all consumers of this source begin with it: whoever takes over finds its rivals by it. */
  readonly prefix: string;
  readonly unconfirmedMax: number;
  /** First sequence to deliver; undefined = the oldest (a work queue allows nothing else). */
  readonly startSeq: number | undefined;
}

/** A consumer that nobody pulls from for this long is removed by its server, ms. */
export const consumerIdleMs = 60_000;
const ackWaitMs = 24 * 3_600_000;
const nsPerMs = 1_000_000;
const takeoverTries = 5;
/** Creations and deletions at once: thousands of lanes come back after a restart of the server. */
const atOnceMax = 64;

/** Makes and deletes consumers. A work queue allows one per filter, which is what makes a lane's owner unique. */
export class Consumers {
  readonly #link: NatsLink;
  readonly #random: Random;
  readonly #queue: (() => void)[] = [];
  readonly #listings = new Map<string, Promise<string[]>>();
  #running = 0;

  constructor(link: NatsLink, random: Random) {
    this.#link = link;
    this.#random = random;
  }

  /** A new name; remember it before asking, since the answer may be lost. */
  nameFor(wish: ConsumerWish): string {
    return `${wish.prefix}-${hex(this.#random(6))}`;
  }

  /** Makes it. Fault `displaced` when another one reads this filter. */
  async create(wish: ConsumerWish, name: string): Promise<void> {
    const config = {
      name,
      filter_subject: wish.filter,
      deliver_policy: wish.startSeq === undefined ? "all" : "by_start_sequence",
      ...(wish.startSeq === undefined ? {} : { opt_start_seq: wish.startSeq }),
      ack_policy: "explicit",
      ack_wait: ackWaitMs * nsPerMs,
      max_deliver: -1,
      max_ack_pending: wish.unconfirmedMax,
      inactive_threshold: consumerIdleMs * nsPerMs,
      num_replicas: 1,
      mem_storage: true,
      replay_policy: "instant",
    };
    const subject = `CONSUMER.CREATE.${wish.stream}.${name}.${wish.filter}`;
    try {
      await this.#inTurn(() => this.#link.api(subject, { stream_name: wish.stream, config }));
    } catch (error) {
      if (!isNatsError(error, natsError.consumerNotUnique)) throw error;
      throw new Fault("displaced", "this lane is read elsewhere", { cause: error });
    }
  }

  /** Makes it after deleting whoever reads the filter: their owners hear of it and stop. */
  async takeOver(wish: ConsumerWish, name: string): Promise<void> {
    for (let tried = 1; ; tried++) {
      try {
        await this.create(wish, name);
        return;
      } catch (error) {
        if (!(error instanceof Fault && error.code === "displaced") || tried >= takeoverTries) throw error;
        const names = await this.#names(wish.stream);
        const rivals = names.filter((rival) => rival.startsWith(`${wish.prefix}-`));
        await Promise.all(rivals.map((rival) => this.delete(wish.stream, rival)));
      }
    }
  }

  /** Deletes one; one that is gone already is as good. */
  async delete(stream: string, name: string): Promise<void> {
    try {
      await this.#inTurn(() => this.#link.api(`CONSUMER.DELETE.${stream}.${name}`));
    } catch (error) {
      if (!isNatsError(error, natsError.consumerNotFound)) throw error;
    }
  }

  /** Names of a stream's consumers. One listing at a time; who asks while one runs shares the next. */
  #names(stream: string): Promise<string[]> {
    const running = this.#listings.get(stream);
    const next = (running ?? Promise.resolve([])).catch(() => []).then(() => this.#list(stream));
    const listing = next.finally(() => {
      if (this.#listings.get(stream) === listing) this.#listings.delete(stream);
    });
    this.#listings.set(stream, listing);
    return listing;
  }

  async #list(stream: string): Promise<string[]> {
    const names: string[] = [];
    for (;;) {
      const page = await this.#link.api<{ total: number; consumers: string[] | null }>(`CONSUMER.NAMES.${stream}`, {
        offset: names.length,
      });
      const found = page.consumers ?? [];
      names.push(...found);
      if (names.length >= page.total || found.length === 0) return names;
    }
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= atOnceMax) await new Promise<void>((resolve) => this.#queue.push(resolve));
    this.#running += 1;
    try {
      return await work();
    } finally {
      this.#running -= 1;
      this.#queue.shift()?.();
    }
  }
}
