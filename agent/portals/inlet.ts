import { type Bytes, concat } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { asFault, Fault } from "#lib/fault";
import { portalHeardTimeoutMs } from "#lib/limits";
import type { MuxStream } from "#lib/link";
import type { Log } from "#lib/log";
import { AnswerReader, encodeOpening, joinSocket, resetReason } from "#lib/portal";
import { listenTcp, paths, type TcpListener, type TcpSocket } from "#lib/runtime";
import type { DesiredInlet } from "#lib/session";
import type { PeerChannels } from "../peers/peer-channels.ts";
import type { SiteGuard } from "../site/site-guard.ts";
import { PortalCounts } from "./portal-counts.ts";

export interface InletParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly site: SiteGuard;
  readonly peers: Pick<PeerChannels, "to">;
}

/** A stream to a node that has heard what it is for, and what came behind that. */
interface Opened {
  readonly stream: MuxStream;
  readonly answer: AnswerReader;
  readonly first: Bytes;
}

/** The listening end of a portal: each connection is one stream to a node at the other end. */
export class Inlet {
  readonly counts = new PortalCounts();
  readonly #parts: InletParts;
  #desired: DesiredInlet;
  #listener: TcpListener | undefined;
  readonly #sockets = new Set<TcpSocket>();

  private constructor(desired: DesiredInlet, parts: InletParts) {
    this.#desired = desired;
    this.#parts = parts;
  }

  /** Listens. Faults: `not_allowed_here`, `config` when the address can't be had. */
  static async start(desired: DesiredInlet, parts: InletParts): Promise<Inlet> {
    const { listen } = desired;
    if ("unix" in listen) await parts.site.allowPath(paths.dirname(listen.unix));
    else parts.site.allowListen(listen.host, listen.port);
    const inlet = new Inlet(desired, parts);
    inlet.#listener = listenTcp(listen, (socket) => void inlet.#serve(socket));
    return inlet;
  }

  get desired(): DesiredInlet {
    return this.#desired;
  }

  /** Takes a newer form that listens at the same place: what is open goes on. */
  update(desired: DesiredInlet): void {
    this.#desired = desired;
  }

  /** Takes no new connections; those that are open end. */
  close(): void {
    this.#listener?.[Symbol.dispose]();
    for (const socket of this.#sockets) socket.reset();
  }

  async #serve(socket: TcpSocket): Promise<void> {
    const { counts } = this;
    counts.total++;
    if (counts.open >= this.#desired.connectionsMax) {
      this.#refuse(socket, new Fault("limited", "as many connections as the portal allows are open"));
      return;
    }
    counts.open++;
    this.#sockets.add(socket);
    try {
      const { stream, answer, first } = await this.#openAny();
      const received = (bytes: Bytes) => answer.take(bytes);
      const joined = await joinSocket(stream, socket, { first, received });
      counts.sentBytes += joined.sentBytes;
      counts.receivedBytes += joined.receivedBytes;
      if (joined.fault === undefined) return;
      if (answer.state !== "connected") this.#refuse(socket, resetReason(joined.fault));
      else this.#cut(resetReason(joined.fault));
    } catch (error) {
      this.#refuse(socket, asFault(error, "internal"));
    } finally {
      this.#sockets.delete(socket);
      counts.open--;
    }
  }

  /** A stream to the first node that takes it: those with a channel come first, the least used before others. */
  async #openAny(): Promise<Opened> {
    const { nodes } = this.#desired;
    if (nodes.length === 0) throw new Fault("offline", "no node at the other end is enrolled");
    let refusal: unknown;
    for (const identifier of this.#inOrder(nodes)) {
      try {
        return await this.#openAt(identifier, nodes.length > 1);
      } catch (error) {
        refusal = error;
      }
    }
    throw refusal;
  }

  #inOrder(nodes: readonly string[]): string[] {
    const { peers } = this.#parts;
    const known = nodes.flatMap((identifier) => {
      try {
        const { open, streams } = peers.to(identifier);
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

  async #openAt(identifier: string, others: boolean): Promise<Opened> {
    const { peers, clock } = this.#parts;
    const channel = peers.to(identifier);
    const link = await (others ? inTime(clock, channel.link(), portalHeardTimeoutMs) : channel.link());
    const stream = link.open();
    const answer = new AnswerReader();
    void stream.write(encodeOpening({ portal: this.#desired.id })).catch(() => undefined); // its reader is told
    // With one node the connection's bytes follow at once; with others they wait until it is sure which node has them.
    if (!others) return { stream, answer, first: new Uint8Array(0) };
    try {
      let first: Bytes = new Uint8Array(0);
      while (answer.state === "unheard") {
        const piece = await inTime(clock, stream.read(), portalHeardTimeoutMs);
        if (piece === null) throw new Fault("malformed", "the stream ended before its answer");
        first = concat(first, answer.take(piece));
      }
      return { stream, answer, first };
    } catch (error) {
      stream.reset("timeout");
      throw resetReason(asFault(error, "internal"));
    }
  }

  #refuse(socket: TcpSocket, fault: Fault): void {
    this.counts.refused++;
    this.#failed("a connection was refused", fault);
    socket.reset();
  }

  #cut(fault: Fault): void {
    if (fault.code !== "closed") this.#failed("a connection was cut", fault);
  }

  #failed(what: string, fault: Fault): void {
    const { log, clock } = this.#parts;
    this.counts.failed(fault, clock.now());
    const level = fault.code === "internal" ? "error" : "warn";
    log[level](what, { portal: this.#desired.name, code: fault.code, reason: fault.message });
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
