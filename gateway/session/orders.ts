import type { Broker, Entry, Unlisten } from "#lib/broker";
import { fromUtf8 } from "#lib/bytes";
import { asFault } from "#lib/fault";
import type { Log } from "#lib/log";
import type { ControlDown } from "#lib/session";

/** What of the broker orders take. */
export interface OrderParts {
  readonly broker: Pick<Broker, "get" | "commands" | "listen">;
  readonly log: Log;
}

/**
 * Desired state and commands of one agent on their way to it: read at the opening, and again whenever the broker
 * hints that there is something new. They wait for nothing that data waits for (DESIGN §5).
 */
export class Orders {
  readonly #parts: OrderParts;
  readonly #agent: string;
  readonly #send: (message: ControlDown) => void;
  readonly #unlisten: readonly Unlisten[];
  #desiredRevision = 0;
  #commandSeq = 0;
  #commandsOf = "";
  #delivering: Promise<void> | undefined;
  #again = false;
  #closed = false;

  constructor(parts: OrderParts, agent: string, send: (message: ControlDown) => void) {
    this.#parts = parts;
    this.#agent = agent;
    this.#send = send;
    const hint = () => void this.deliver();
    this.#unlisten = [
      parts.broker.listen({ kind: "desired", agent }, hint),
      parts.broker.listen({ kind: "command", agent }, hint),
    ];
  }

  /** Sends what is newer than what was sent. */
  deliver(): Promise<void> {
    if (this.#delivering !== undefined) {
      this.#again = true;
      return this.#delivering;
    }
    this.#delivering = this.#run().finally(() => {
      this.#delivering = undefined;
    });
    return this.#delivering;
  }

  close(): void {
    this.#closed = true;
    for (const unlisten of this.#unlisten) unlisten();
  }

  async #run(): Promise<void> {
    do {
      this.#again = false;
      try {
        await this.#desired();
        await this.#commands();
      } catch (error) {
        const { code, message } = asFault(error, "broker");
        this.#parts.log.warn("orders could not be read", { agent: this.#agent, code, reason: message });
      }
    } while (this.#again && !this.#closed);
  }

  async #desired(): Promise<void> {
    const value = await this.#parts.broker.get({ kind: "desired", agent: this.#agent });
    if (value === undefined || value.revision === this.#desiredRevision || this.#closed) return;
    this.#desiredRevision = value.revision;
    this.#send({ type: "desired", statement: fromUtf8(value.bytes) });
  }

  async #commands(): Promise<void> {
    for (const entry of await this.#parts.broker.commands(this.#agent, this.#commandSeq)) {
      if (this.#closed || !this.#isNew(entry)) continue;
      this.#send({ type: "command", statement: fromUtf8(entry.bytes) });
    }
  }

  /** A broker that was set up anew counts from 1 again; the agent itself runs each command once. */
  #isNew({ created, seq }: Entry): boolean {
    if (created === this.#commandsOf && seq <= this.#commandSeq) return false;
    this.#commandsOf = created;
    this.#commandSeq = seq;
    return true;
  }
}
