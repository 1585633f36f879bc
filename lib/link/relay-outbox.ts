import { type Bytes, readUint32 } from "#lib/bytes";
import { messageKind } from "#lib/channel";
import { Fault } from "#lib/fault";
import { relayMessageCostBytes, relayQueueBytesMax, relayTunnelBytesMax } from "#lib/limits";

/** Bytes in front of the inner message: kind 1 ‖ relay id 4 (PROTOCOL §7). */
export const relayHeaderBytes = 5;

interface Queue {
  readonly messages: Bytes[];
  /** Index of the next one: shifting a long array costs its length. */
  next: number;
  bytes: number;
}

export interface RelayOutboxOptions {
  /** Whether the path takes a message of so many bytes now; `drain` is called when it may again. */
  room(bytes: number): boolean;
  /** Sends one message, which is sent or copied before this returns. */
  send(message: Bytes): void;
}

/**
 * Relayed messages on their way into one wire, behind the channel's own records: at once while the path has room, else in a
 * queue per relay id, in turns. A pair that has more waiting than the credit of its streams can explain is refused.
 */
export class RelayOutbox {
  readonly #options: RelayOutboxOptions;
  readonly #queues = new Map<number, Queue>();
  #bytes = 0;

  constructor(options: RelayOutboxOptions) {
    this.#options = options;
  }

  /** Bytes that wait for this id. */
  queuedBytes(id: number): number {
    return this.#queues.get(id)?.bytes ?? 0;
  }

  /** Sends or queues; `lent`: the bytes are used again once this returns. Fault `limited`: the pair is to be closed. */
  send(message: Bytes, lent: boolean): void {
    if (this.#queues.size === 0 && this.#options.room(message.length)) {
      this.#options.send(message);
      return;
    }
    const id = readUint32(message, 1);
    const cost = message.length + relayMessageCostBytes;
    const queue = this.#queues.get(id);
    if ((queue?.bytes ?? 0) + cost > relayQueueBytesMax || this.#bytes + cost > relayTunnelBytesMax)
      throw new Fault("limited", "more is relayed than is taken");
    const own = lent ? message.slice() : message;
    this.#bytes += cost;
    if (queue === undefined) this.#queues.set(id, { messages: [own], next: 0, bytes: cost });
    else {
      queue.messages.push(own);
      queue.bytes += cost;
    }
  }

  /** Sends what waits, as far as the path has room. */
  drain(): void {
    for (let [first] = this.#queues; first !== undefined; [first] = this.#queues) {
      const [id, queue] = first;
      const message = queue.messages[queue.next];
      if (message !== undefined && !this.#options.room(message.length)) return;
      this.#queues.delete(id); // and behind the others, if there is more
      if (message === undefined) continue;
      queue.next++;
      const cost = message.length + relayMessageCostBytes;
      this.#bytes -= cost;
      queue.bytes -= cost;
      if (queue.next < queue.messages.length) this.#queues.set(id, compact(queue));
      this.#options.send(message);
    }
  }

  /** Forgets what waits for an id. */
  drop(id: number): void {
    this.#bytes -= this.queuedBytes(id);
    this.#queues.delete(id);
  }

  clear(): void {
    this.#queues.clear();
    this.#bytes = 0;
  }
}

/** Gives up what was sent once it is the greater part. */
function compact(queue: Queue): Queue {
  if (queue.next < 64 || queue.next * 2 < queue.messages.length) return queue;
  return { messages: queue.messages.slice(queue.next), next: 0, bytes: queue.bytes };
}

/** Writes kind and id in front of an inner message, in place: `message` has `relayHeaderBytes` of room there. */
export function writeRelayHeader(message: Bytes, id: number): void {
  message[0] = messageKind.relay;
  message[1] = id >>> 24;
  message[2] = id >>> 16;
  message[3] = id >>> 8;
  message[4] = id;
}
