import type { Clock } from "#lib/clock";
import { asFault, Fault } from "#lib/fault";
import type { Link } from "#lib/link";
import type { Log } from "#lib/log";
import { resetReason } from "#lib/portal";
import { listenTcp, paths, type TcpListener, type TcpSocket } from "#lib/runtime";
import type { DesiredInlet, PortalListen } from "#lib/session";
import type { PeerChannels } from "../peers/peer-channels.ts";
import type { SiteGuard } from "../site/site-guard.ts";
import { type ReachParts, reach } from "./inlet-reach.ts";
import { PortalCounts } from "./portal-counts.ts";
import { StreamOpener } from "./stream-opener.ts";

export interface InletParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly site: SiteGuard;
  readonly peers: Pick<PeerChannels, "to">;
  /** Told of each connection that is refused or cut. */
  readonly failed?: (fault: Fault) => void;
  /** The tunnel that is open. Fault `offline` when none is. */
  readonly nexus: () => Pick<Link, "open">;
}

/** The listening end of a portal, whatever it carries. */
export interface RunningInlet {
  readonly counts: PortalCounts;
  readonly desired: DesiredInlet;
  /** Where it listens; 0 for a Unix socket. */
  readonly port: number;
  /** Takes a newer form that listens at the same place: what is open goes on, unless it goes another way now. */
  update(desired: DesiredInlet): void;
  /** Takes nothing new; what is open ends. */
  close(): void;
}

/** The listening end of a portal for TCP: each connection goes where the portal's mode says. */
export class Inlet implements RunningInlet {
  readonly counts = new PortalCounts();
  readonly #parts: InletParts;
  readonly #reach: ReachParts;
  #desired: DesiredInlet;
  #listener: TcpListener | undefined;
  readonly #sockets = new Set<TcpSocket>();

  private constructor(desired: DesiredInlet, parts: InletParts) {
    this.#desired = desired;
    this.#parts = parts;
    this.#reach = { site: parts.site, opener: new StreamOpener(parts), nexus: parts.nexus };
  }

  /** Listens. Faults: `not_allowed_here`, `config` when the address can't be had. */
  static async start(desired: DesiredInlet, parts: InletParts): Promise<Inlet> {
    const { listen } = desired;
    await demandListen(parts.site, listen);
    const inlet = new Inlet(desired, parts);
    inlet.#listener = listenTcp(listen, (socket) => void inlet.#serve(socket));
    return inlet;
  }

  get desired(): DesiredInlet {
    return this.#desired;
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  update(desired: DesiredInlet): void {
    const moved = wayOf(desired) !== wayOf(this.#desired);
    this.#desired = desired;
    if (moved) this.#cutAll();
  }

  close(): void {
    this.#listener?.[Symbol.dispose]();
    this.#cutAll();
  }

  #cutAll(): void {
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
      const joined = await reach(this.#desired, socket, this.#reach);
      counts.sentBytes += joined.sentBytes;
      counts.receivedBytes += joined.receivedBytes;
      if (joined.fault === undefined) return;
      if (!joined.connected) this.#refuse(socket, resetReason(joined.fault));
      else this.#cut(resetReason(joined.fault));
    } catch (error) {
      this.#refuse(socket, asFault(error, "internal"));
    } finally {
      this.#sockets.delete(socket);
      counts.open--;
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
    const { log, clock, failed } = this.#parts;
    this.counts.failed(fault, clock.now());
    failed?.(fault);
    const level = fault.code === "internal" ? "error" : "warn";
    log[level](what, { portal: this.#desired.name, code: fault.code, reason: fault.message });
  }
}

/** Fault `not_allowed_here` unless the site's list lets an inlet listen there. */
export async function demandListen(site: SiteGuard, listen: PortalListen): Promise<void> {
  if ("unix" in listen) await site.allowPath(paths.dirname(listen.unix));
  else site.allowListen(listen.host, listen.port);
}

/** What was opened one way does not go on as if it had been another: who can read it differs. */
const wayOf = ({ mode, tls, pins }: DesiredInlet): string => JSON.stringify([mode, tls, pins]);
