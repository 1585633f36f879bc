import { type Bytes, concat } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { asFault, Fault } from "#lib/fault";
import { portalHeardTimeoutMs } from "#lib/limits";
import type { MuxStream } from "#lib/link";
import { AnswerReader, encodeOpening, type PortalOpening, resetReason } from "#lib/portal";
import type { PeerChannels } from "../peers/peer-channels.ts";

/** A stream to a node that has heard what it is for, and what came behind that. */
export interface Opened {
  readonly stream: MuxStream;
  readonly answer: AnswerReader;
  readonly first: Bytes;
}

/** Opens streams to the nodes at the other end of a portal. */
export class StreamOpener {
  readonly #clock: Clock;
  readonly #peers: Pick<PeerChannels, "to">;

  constructor({ clock, peers }: { readonly clock: Clock; readonly peers: Pick<PeerChannels, "to"> }) {
    this.#clock = clock;
    this.#peers = peers;
  }

  /**
   * A stream to the first node that takes it: those with a channel come first, the least used before others. `more` goes behind the
   * opening as soon as it is sure which node has it.
   */
  async open(nodes: readonly string[], opening: PortalOpening, more?: Bytes): Promise<Opened> {
    if (nodes.length === 0) throw new Fault("offline", "no node at the other end is enrolled");
    let refusal: unknown;
    for (const identifier of this.#inOrder(nodes)) {
      try {
        return await this.#openAt(identifier, opening, more, nodes.length > 1);
      } catch (error) {
        refusal = error;
      }
    }
    throw refusal;
  }

  #inOrder(nodes: readonly string[]): string[] {
    const known = nodes.flatMap((identifier) => {
      try {
        const { open, streams } = this.#peers.to(identifier);
        return [{ identifier, open, streams }];
      } catch {
        return []; // revoked since: the state that names it no more is on its way
      }
    });
    if (known.length === 0) throw new Fault("revoked", "the nodes at the other end were revoked");
    return known
      .toSorted((a, b) => Number(b.open) - Number(a.open) || a.streams - b.streams)
      .map(({ identifier }) => identifier);
  }

  async #openAt(identifier: string, opening: PortalOpening, more: Bytes | undefined, others: boolean): Promise<Opened> {
    const channel = this.#peers.to(identifier);
    const link = await (others ? inTime(this.#clock, channel.link(), portalHeardTimeoutMs) : channel.link());
    const stream = link.open();
    const answer = new AnswerReader();
    const say = (bytes: Bytes) => void stream.write(bytes).catch(() => undefined); // its reader is told
    const head = encodeOpening(opening);
    // With one node the connection's bytes follow at once; with others they wait until it is sure which node has them.
    if (!others) {
      say(more === undefined ? head : concat(head, more));
      return { stream, answer, first: new Uint8Array(0) };
    }
    say(head);
    try {
      let first: Bytes = new Uint8Array(0);
      while (answer.state === "unheard") {
        const piece = await inTime(this.#clock, stream.read(), portalHeardTimeoutMs);
        if (piece === null) throw new Fault("malformed", "the stream ended before its answer");
        first = concat(first, answer.take(piece));
      }
      if (more !== undefined) say(more);
      return { stream, answer, first };
    } catch (error) {
      stream.reset("timeout");
      throw resetReason(asFault(error, "internal"));
    }
  }
}

async function inTime<T>(clock: Clock, work: Promise<T>, timeoutMs: number): Promise<T> {
  const late = Promise.withResolvers<never>();
  const cancel = clock.after(timeoutMs, () => late.reject(new Fault("timeout", "the node did not answer in time")));
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    cancel();
    work.catch(() => undefined); // whoever gave up was told
  }
}
