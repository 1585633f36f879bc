import { type Bytes, fromBase64url, fromUtf8, utf8 } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import type { Value, ValueName } from "../broker.ts";
import { subjectOf, valueNameOf } from "../subjects.ts";
import { ackFacts } from "./ack-subject.ts";
import { isNatsError, natsError } from "./nats-faults.ts";
import { type NatsLink, tombstoneHeader } from "./nats-link.ts";
import { valueStream } from "./stream-settings.ts";

/** A stored message as STREAM.MSG.GET gives it. */
export interface StoredMessage {
  readonly subject: string;
  readonly seq: number;
  readonly time: string;
  /** Base64. */
  readonly data?: string;
  /** Base64 of the header block. */
  readonly hdrs?: string;
}

const listMax = 100_000;
const listInactiveMs = 10_000;
const nsPerMs = 1_000_000;

/** Last values: one message per subject in streams of their own. */
export class NatsValues {
  readonly #link: NatsLink;
  readonly #clock: Clock;
  /** A subject for answers that nobody else knows. */
  readonly #newInbox: () => string;

  constructor(link: NatsLink, clock: Clock, newInbox: () => string) {
    this.#link = link;
    this.#clock = clock;
    this.#newInbox = newInbox;
  }

  async get(name: ValueName): Promise<Value | undefined> {
    const stored = await this.read(valueStream(name.kind), subjectOf(name));
    return stored === undefined || isTombstone(stored) ? undefined : valueOfMessage(stored);
  }

  put(name: ValueName, bytes: Uint8Array, expect: number | undefined): Promise<number> {
    return this.write(valueStream(name.kind), subjectOf(name), bytes, expect);
  }

  async remove(name: ValueName, expect: number | undefined): Promise<void> {
    if (expect === 0) return;
    const stream = valueStream(name.kind);
    const options = expect === undefined ? { tombstone: true } : { tombstone: true, expect };
    await this.#link.publish(stream, subjectOf(name), new Uint8Array(0), options);
  }

  /** The newest message of a subject, tombstones included. */
  async read(stream: string, subject: string): Promise<StoredMessage | undefined> {
    try {
      const request = { last_by_subj: subject };
      const { message } = await this.#link.api<{ message: StoredMessage }>(`STREAM.MSG.GET.${stream}`, request);
      return message;
    } catch (error) {
      if (isNatsError(error, natsError.messageNotFound)) return undefined;
      throw error;
    }
  }

  /** Writes a subject's newest message; `expect` as in the port. */
  async write(stream: string, subject: string, bytes: Uint8Array, expect: number | undefined): Promise<number> {
    try {
      return (await this.#link.publish(stream, subject, bytes, expect === undefined ? {} : { expect })).seq;
    } catch (error) {
      if (expect !== 0 || !(error instanceof Fault && error.code === "conflict")) throw error;
      // A removed value has left a tombstone, whose revision is the one to be expected.
      const stored = await this.read(stream, subject);
      if (stored === undefined || !isTombstone(stored)) throw error;
      return (await this.#link.publish(stream, subject, bytes, { expect: stored.seq })).seq;
    }
  }

  async list(kind: "node" | "agent"): Promise<{ name: ValueName; value: Value }[]> {
    const stream = valueStream(kind);
    const inbox = this.#newInbox();
    const name = `list-${inbox.split(/[.-]/).at(-1)}`;
    const config = {
      name,
      filter_subject: `${kind}.>`,
      deliver_policy: "last_per_subject",
      ack_policy: "none",
      inactive_threshold: listInactiveMs * nsPerMs,
      num_replicas: 1,
      mem_storage: true,
    };
    const made = await this.#link.api<{ num_pending: number }>(`CONSUMER.CREATE.${stream}.${name}.${kind}.>`, {
      stream_name: stream,
      config,
    });
    try {
      return await this.#collect(stream, name, inbox, Math.min(made.num_pending, listMax));
    } finally {
      await this.#link.api(`CONSUMER.DELETE.${stream}.${name}`).catch(() => undefined); // gone by itself after a while
    }
  }

  async #collect(
    stream: string,
    consumer: string,
    inbox: string,
    count: number,
  ): Promise<{ name: ValueName; value: Value }[]> {
    const found: { name: ValueName; value: Value }[] = [];
    if (count === 0) return found;
    let seen = 0;
    let unlisten = () => {};
    let cancel = () => {};
    await new Promise<void>((resolve, reject) => {
      cancel = this.#clock.after(listInactiveMs, () => reject(new Fault("broker", "NATS did not list in time")));
      unlisten = this.#link.subscribe(inbox, (message) => {
        const facts = message.reply === undefined ? undefined : ackFacts(message.reply);
        if (facts === undefined) return resolve(); // a status: no more to come (values expired meanwhile)
        seen += 1;
        const name = valueNameOf(message.subject);
        if (name !== undefined && message.headers?.get(tombstoneHeader) !== "1") {
          const bytes = message.data.slice() as Bytes; // slice() copies into a buffer of its own
          found.push({ name, value: { bytes, revision: facts.streamSeq, timeMs: facts.timeMs } });
        }
        if (seen === count) resolve();
      });
      const pull = utf8(JSON.stringify({ batch: count, no_wait: true }));
      this.#link.send(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, pull, inbox);
    }).finally(() => {
      cancel();
      unlisten();
    });
    return found.sort((a, b) => (subjectOf(a.name) < subjectOf(b.name) ? -1 : 1));
  }
}

/** The value that a stored message is. */
export function valueOfMessage(message: StoredMessage): Value {
  return { bytes: fromBase64(message.data ?? ""), revision: message.seq, timeMs: Date.parse(message.time) };
}

/** One header of a stored message. */
export function headerOf(message: StoredMessage, name: string): string | undefined {
  const lines = fromUtf8(fromBase64(message.hdrs ?? "")).split("\r\n");
  const line = lines.find((text) => text.toLowerCase().startsWith(`${name.toLowerCase()}:`));
  return line?.slice(name.length + 1).trim();
}

function fromBase64(text: string): Bytes {
  const bytes = fromBase64url(text.replace(/=+$/, "").replaceAll("+", "-").replaceAll("/", "_"));
  if (bytes === undefined) throw new Fault("broker", "an answer of NATS is no base64");
  return bytes;
}

function isTombstone(message: StoredMessage): boolean {
  return message.hdrs !== undefined && headerOf(message, tombstoneHeader) === "1";
}
