import type { Broker } from "#lib/broker";
import { encodeCbor } from "#lib/bytes";
import { type DownMessage, decodeDownEntry } from "#lib/session";

/** A down lane in the hands of somebody in the broker. Its Mercury must not be connected while it is read. */
export class DownLane {
  readonly #broker: Broker;
  readonly #lane: { readonly agent: string; readonly plugin: string };

  constructor(broker: Broker, agent: string, plugin: string) {
    this.#broker = broker;
    this.#lane = { agent, plugin };
  }

  /** What waits in it, as it lies there, once `count` entries do; it stays. */
  async read(count: number): Promise<{ readonly bytes: Uint8Array; readonly messages: DownMessage[] }[]> {
    const entries: Uint8Array[] = [];
    const enough = Promise.withResolvers<void>();
    const source = await this.#broker.open(
      { kind: "down", ...this.#lane },
      {
        onEntry: ({ bytes }) => {
          entries.push(bytes);
          if (entries.length >= count) enough.resolve();
        },
        onClosed: (fault) => enough.reject(fault),
      },
    );
    await enough.promise;
    await source.close();
    return entries.map((bytes) => ({ bytes, messages: decodeDownEntry(bytes).messages }));
  }

  /** Puts messages into it, one entry each; `names` = what the entry says of itself. */
  async put(messages: readonly DownMessage[], names = this.#lane): Promise<void> {
    for (const { id, time, contentType, body } of messages) {
      const message = { id, time, body, ...(contentType === undefined ? {} : { contentType }) };
      const entry = encodeCbor({ v: 1, ...names, messages: [message] });
      await this.#broker.publish({ kind: "down", ...this.#lane }, entry, crypto.randomUUID());
    }
  }
}
