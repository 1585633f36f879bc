import type { Clock } from "#lib/clock";
import type { Statement } from "#lib/runtime";
import type { Unlisten } from "../broker.ts";
import { aboutOf, matches } from "../subjects.ts";
import type { EmbeddedStore } from "./embedded-store.ts";

type Hear = (bytes: Uint8Array<ArrayBuffer>, about: string) => void;

/** How long a message waits for other processes, ms. */
export const messageLifeMs = 10_000;

/** Plain messages between those who share the file: at once in this process, through a table to others. */
export class Mailbox {
  readonly #store: EmbeddedStore;
  readonly #clock: Clock;
  /** Tells this process' own messages from those of others. */
  readonly #origin: string;
  readonly #listeners = new Map<string, Set<Hear>>();
  readonly #patterns = new Set<string>();
  #seen: number;

  constructor(store: EmbeddedStore, clock: Clock, origin: string, seen: number) {
    this.#store = store;
    this.#clock = clock;
    this.#origin = origin;
    this.#seen = seen;
  }

  listen(subject: string, hear: Hear): Unlisten {
    const heard: Hear = (bytes, about) => hear(bytes, about); // its own object: the same function may listen twice
    const listeners = this.#listeners.get(subject) ?? new Set();
    listeners.add(heard);
    this.#listeners.set(subject, listeners);
    if (subject.includes("*")) this.#patterns.add(subject);
    return () => {
      listeners.delete(heard);
      if (listeners.size > 0 || this.#listeners.get(subject) !== listeners) return;
      this.#listeners.delete(subject);
      this.#patterns.delete(subject);
    };
  }

  /** Stands in the set whose write this message tells of. */
  statement(subject: string, bytes: Uint8Array): Statement {
    return {
      sql: "INSERT INTO message (origin, subject, time, body) VALUES (?, ?, ?, ?)",
      params: [this.#origin, subject, this.#clock.now(), bytes],
    };
  }

  /** To those who listen in this process. */
  deliver(subject: string, bytes: Uint8Array): void {
    const own = bytes.slice();
    const about = aboutOf(subject);
    for (const hear of [...(this.#listeners.get(subject) ?? [])]) hear(own, about);
    for (const pattern of this.#patterns)
      if (matches(pattern, subject)) for (const hear of [...(this.#listeners.get(pattern) ?? [])]) hear(own, about);
  }

  /** Delivers what other processes sent, when the table has grown to `last`. */
  async poll(last: number): Promise<void> {
    if (last <= this.#seen) return;
    const rows = await this.#store.read<{ subject: string; body: Uint8Array<ArrayBuffer> }>(
      "SELECT subject, body FROM message WHERE seq > ? AND seq <= ? AND origin <> ? ORDER BY seq",
      [this.#seen, last, this.#origin],
    );
    this.#seen = last;
    for (const { subject, body } of rows) this.deliver(subject, body);
  }
}
