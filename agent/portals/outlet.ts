import type { Bytes } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { asFault, Fault, type FaultCode } from "#lib/fault";
import type { MuxStream, VerifiedPeer } from "#lib/link";
import type { Log } from "#lib/log";
import { decide, type PolicySubject } from "#lib/policy";
import { joinSocket, portalAnswer, resetReason } from "#lib/portal";
import { connectTcp, type TcpSocket } from "#lib/runtime";
import type { DesiredOutlet } from "#lib/session";
import type { SiteGuard } from "../site/site-guard.ts";
import type { UsablePolicy } from "./policies.ts";
import { PortalCounts } from "./portal-counts.ts";

export interface OutletParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly site: SiteGuard;
  /** This node, as its own credential says. */
  readonly node: () => PolicySubject;
}

/** The serving end of a portal: each stream is one connection to the service, which the site's list must allow every time. */
export class Outlet {
  readonly counts = new PortalCounts();
  readonly #parts: OutletParts;
  #desired: DesiredOutlet;
  #policy: UsablePolicy | undefined;
  /** What is served, and for whom as it was judged last. */
  readonly #streams = new Map<MuxStream, VerifiedPeer>();

  constructor(desired: DesiredOutlet, policy: UsablePolicy | undefined, parts: OutletParts) {
    this.#desired = desired;
    this.#policy = policy;
    this.#parts = parts;
  }

  get desired(): DesiredOutlet {
    return this.#desired;
  }

  /** Takes a newer form; streams that might not be opened under it end. */
  update(desired: DesiredOutlet, policy: UsablePolicy | undefined): void {
    const moved =
      desired.target.host !== this.#desired.target.host || desired.target.port !== this.#desired.target.port;
    this.#desired = desired;
    this.#policy = policy;
    if (moved) this.close();
    else this.judgeAll();
  }

  close(code: FaultCode = "closed"): void {
    for (const stream of this.#streams.keys()) stream.reset(code);
  }

  /** Judges again what is served: this node itself, or what it serves by, is another. */
  judgeAll(): void {
    for (const [stream, peer] of this.#streams) this.#judge(stream, peer);
  }

  /** Judges what is served for a node again, which shows another credential. */
  renewed(peer: VerifiedPeer): void {
    for (const [stream, { identity }] of this.#streams)
      if (identity.identifier === peer.identity.identifier) this.#judge(stream, peer);
  }

  /** Why a stream that is served here may not go on for `peer`; undefined when it may or is not served here. */
  refusalOf(stream: MuxStream, peer: VerifiedPeer): FaultCode | undefined {
    if (!this.#streams.has(stream)) return undefined;
    this.#streams.set(stream, peer);
    return this.#refusalFor(peer)?.code;
  }

  /** Serves a stream whose opening was read; `rest` came behind it. Never rejects. */
  async serve(stream: MuxStream, peer: VerifiedPeer, rest: Bytes): Promise<void> {
    const { counts } = this;
    counts.total++;
    try {
      this.#demandAllowed(peer);
      if (counts.open >= this.#desired.connectionsMax)
        throw new Fault("limited", "as many connections as the portal allows are open");
    } catch (error) {
      this.#refuse(stream, peer, asFault(error, "internal"));
      return;
    }
    counts.open++;
    this.#streams.set(stream, peer);
    try {
      void stream.write(new Uint8Array([portalAnswer.heard])).catch(() => undefined); // its reader is told
      const socket = await this.#connect();
      void stream.write(new Uint8Array([portalAnswer.connected])).catch(() => undefined);
      const joined = await joinSocket(stream, socket, { first: rest });
      counts.sentBytes += joined.sentBytes;
      counts.receivedBytes += joined.receivedBytes;
      if (joined.fault !== undefined) this.#failed("a connection was cut", peer, resetReason(joined.fault), "debug");
    } catch (error) {
      this.#refuse(stream, peer, asFault(error, "internal"));
    } finally {
      this.#streams.delete(stream);
      counts.open--;
    }
  }

  #judge(stream: MuxStream, peer: VerifiedPeer): void {
    this.#streams.set(stream, peer);
    const fault = this.#refusalFor(peer);
    if (fault === undefined) return;
    stream.reset(fault.code);
    this.#failed("a connection may not go on", peer, fault, "warn");
  }

  #refusalFor(peer: VerifiedPeer): Fault | undefined {
    try {
      this.#demandAllowed(peer);
      return undefined;
    } catch (error) {
      return asFault(error, "internal");
    }
  }

  #demandAllowed({ identity, credential }: VerifiedPeer): void {
    const { clock } = this.#parts;
    const { id: portal, name, protocol, target, nodes } = this.#desired;
    const node = this.#parts.node();
    const { customer_id: customerId } = node.attributes;
    const decision = decide(this.#policy?.compiled, {
      subject: { identifier: identity.identifier, attributes: credential.attrs },
      resource: {
        portal,
        name,
        kind: protocol,
        target,
        nodes,
        node,
        customerId: typeof customerId === "string" ? customerId : "",
      },
      request: { action: "open", protocol, time: Math.floor(clock.now()) },
    });
    if (decision.allowed) return;
    const policy = decision.by === "policy" ? ` (${this.#policy?.name})` : "";
    throw new Fault("forbidden", `${decision.reason}${policy}`);
  }

  /** Goes to the very address that was checked. */
  async #connect(): Promise<TcpSocket> {
    const { target, connectTimeoutMs } = this.#desired;
    const addresses = await this.#parts.site.allowConnect(target.host, target.port).catch((error: unknown) => {
      const fault = asFault(error, "internal");
      if (fault.code !== "unavailable") throw fault;
      throw new Fault("system_unavailable", `${target.host} has no address`, { cause: fault });
    });
    let refused: unknown;
    for (const host of addresses) {
      try {
        return await connectTcp({ host, port: target.port }, { timeoutMs: connectTimeoutMs });
      } catch (error) {
        refused = error;
      }
    }
    const { code, message } = asFault(refused, "unavailable");
    const where = `${target.host}:${target.port}`;
    throw new Fault(code === "timeout" ? "timeout" : "system_unavailable", `${where}: ${message}`, { cause: refused });
  }

  #refuse(stream: MuxStream, peer: VerifiedPeer, fault: Fault): void {
    this.counts.refused++;
    stream.reset(fault.code);
    this.#failed("a connection was refused", peer, fault, fault.code === "internal" ? "error" : "warn");
  }

  #failed(what: string, { identity }: VerifiedPeer, fault: Fault, level: "debug" | "warn" | "error"): void {
    const { log, clock } = this.#parts;
    if (level !== "debug") this.counts.failed(fault, clock.now());
    const { code, message: reason } = fault;
    log[level](what, { portal: this.#desired.name, from: identity.identifier, code, reason });
  }
}
