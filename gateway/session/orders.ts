import type { Broker, Entry } from "#lib/broker";
import { fromUtf8 } from "#lib/bytes";
import { asFault } from "#lib/fault";
import type { Log } from "#lib/log";
import { type ControlDown, statementSchema } from "#lib/session";

/** What of the broker orders take. */
export interface OrderParts {
  readonly broker: Pick<Broker, "get" | "commands">;
  readonly log: Log;
}

/** Who gets the orders: the session. */
export interface OrderTaker {
  send(message: ControlDown): void;
}

/**
 * Desired state and commands of one agent on their way to it: read at the opening, and again at each hint
 * of the broker that there is something new (`deliver`). They wait for nothing that data waits for (DESIGN §5).
 */
export class Orders {
  readonly #parts: OrderParts;
  readonly #agent: string;
  readonly #to: OrderTaker;
  #desiredRevision = 0;
  #commandSeq = 0;
  #commandsOf = "";
  #delivering: Promise<void> | undefined;
  #again = false;
  #closed = false;

  constructor(parts: OrderParts, agent: string, to: OrderTaker) {
    this.#parts = parts;
    this.#agent = agent;
    this.#to = to;
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
    const statement = this.#read(value.bytes);
    if (statement !== undefined) this.#to.send({ type: "desired", statement });
  }

  async #commands(): Promise<void> {
    for (const entry of await this.#parts.broker.commands(this.#agent, this.#commandSeq)) {
      if (this.#closed || !this.#isNew(entry)) continue;
      const statement = this.#read(entry.bytes);
      if (statement !== undefined) this.#to.send({ type: "command", statement });
    }
  }

  /** Undefined for what can't be a statement: it must not keep those behind it from the agent. */
  #read(bytes: Uint8Array): string | undefined {
    try {
      return statementSchema.parse(fromUtf8(bytes));
    } catch {
      this.#parts.log.warn("what lies in the broker is no statement", { agent: this.#agent, bytes: bytes.length });
      return undefined;
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
