import { type Bytes, concat } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { asFault, Fault, type FaultCode } from "#lib/fault";
import type { MuxStream, VerifiedPeer } from "#lib/link";
import type { Log } from "#lib/log";
import { decide, type PolicyRequest, type PolicySubject } from "#lib/policy";
import {
  dialService,
  encodeHead,
  joinSocket,
  type PortalOpening,
  portalAnswer,
  type RateLimits,
  resetReason,
} from "#lib/portal";
import type { DesiredOutlet } from "#lib/session";
import type { SiteFetch, SiteWay } from "../site/site-fetch.ts";
import type { SiteGuard } from "../site/site-guard.ts";
import { serveExchange } from "./http-exchange.ts";
import type { UsablePolicy } from "./policies.ts";
import { PortalCounts } from "./portal-counts.ts";
import { proxyHeader } from "./proxy-header.ts";

export interface OutletParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly site: SiteGuard;
  /** This node, as its own credential says. */
  readonly node: () => PolicySubject;
  /** Counts a stream or a request of a node. Fault `limited`. */
  readonly rates: Pick<RateLimits, "take">;
  readonly fetch: SiteFetch;
  readonly wayTo: SiteWay;
}

/** What is served, for whom, and what was asked: as it was judged last. */
interface Served {
  readonly peer: VerifiedPeer;
  /** Undefined while a request's head has yet to come. */
  readonly asked: Asked | undefined;
}

type Asked = Pick<PolicyRequest, "action" | "method" | "host" | "path">;

/** The serving end of a portal: each stream is one connection to the service, which the site's list must allow every time. */
export class Outlet {
  readonly counts = new PortalCounts();
  readonly #parts: OutletParts;
  #desired: DesiredOutlet;
  #policy: UsablePolicy | undefined;
  readonly #streams = new Map<MuxStream, Served>();

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
    const { target, protocol } = this.#desired;
    const moved =
      desired.target.host !== target.host || desired.target.port !== target.port || desired.protocol !== protocol;
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
    for (const [stream, served] of this.#streams) this.#judge(stream, served);
  }

  /** Judges what is served for a node again, which shows another credential. */
  renewed(peer: VerifiedPeer): void {
    for (const [stream, served] of this.#streams)
      if (served.peer.identity.identifier === peer.identity.identifier) this.#judge(stream, { ...served, peer });
  }

  /** Why a stream that is served here may not go on for `peer`; undefined when it may or is not served here. */
  refusalOf(stream: MuxStream, peer: VerifiedPeer): FaultCode | undefined {
    const served = this.#streams.get(stream);
    if (served === undefined) return undefined;
    this.#streams.set(stream, { ...served, peer });
    return this.#refusalFor({ ...served, peer })?.code;
  }

  /** Serves a stream whose opening was read; `rest` came behind it. Never rejects. */
  async serve(stream: MuxStream, peer: VerifiedPeer, opening: PortalOpening, rest: Bytes): Promise<void> {
    const { counts } = this;
    const isHttp = this.#desired.protocol === "http";
    const asked: Asked | undefined = isHttp ? undefined : { action: "open" };
    counts.total++;
    try {
      if (asked !== undefined) this.#demandAllowed(peer, asked);
      this.#parts.rates.take(peer);
      if (counts.open >= this.#desired.connectionsMax)
        throw new Fault("limited", "as many connections as the portal allows are open");
    } catch (error) {
      const fault = asFault(error, "internal");
      if (isHttp && fault.code === "limited") sayLimited(stream, fault);
      else stream.reset(fault.code);
      this.#refused(peer, fault);
      return;
    }
    counts.open++;
    this.#streams.set(stream, { peer, asked });
    try {
      void stream.write(new Uint8Array([portalAnswer.heard])).catch(() => undefined); // its reader is told
      if (isHttp) {
        await this.#exchange(stream, peer, rest);
        return;
      }
      const { target, connectTimeoutMs } = this.#desired;
      const { site } = this.#parts;
      const socket = await dialService(target, connectTimeoutMs, (host, port) => site.allowConnect(host, port));
      if (this.#desired.proxyProtocol) socket.write(proxyHeader(opening.from, opening.to));
      void stream.write(new Uint8Array([portalAnswer.connected])).catch(() => undefined);
      const joined = await joinSocket(stream, socket, { first: rest });
      counts.sentBytes += joined.sentBytes;
      counts.receivedBytes += joined.receivedBytes;
      if (joined.fault !== undefined) this.#failed("a connection was cut", peer, resetReason(joined.fault), "debug");
    } catch (error) {
      const fault = asFault(error, "internal");
      stream.reset(fault.code);
      this.#refused(peer, resetReason(fault));
    } finally {
      this.#streams.delete(stream);
      counts.open--;
    }
  }

  #exchange(stream: MuxStream, peer: VerifiedPeer, rest: Bytes): Promise<void> {
    const { clock, fetch, site, wayTo } = this.#parts;
    const judge = (request: Omit<Asked, "action">) => {
      const asked = { action: "http", ...request } as const;
      const known = this.#streams.get(stream)?.peer ?? peer;
      this.#demandAllowed(known, asked);
      this.#streams.set(stream, { peer: known, asked });
    };
    const { counts } = this;
    return serveExchange(stream, rest, {
      clock,
      fetch,
      sockets: { site, wayTo },
      desired: this.#desired,
      counts,
      judge,
    });
  }

  #judge(stream: MuxStream, served: Served): void {
    this.#streams.set(stream, served);
    const fault = this.#refusalFor(served);
    if (fault === undefined) return;
    stream.reset(fault.code);
    this.#failed("a connection may not go on", served.peer, fault, "warn");
  }

  #refusalFor({ peer, asked }: Served): Fault | undefined {
    if (asked === undefined) return undefined; // judged when its head is there
    try {
      this.#demandAllowed(peer, asked);
      return undefined;
    } catch (error) {
      return asFault(error, "internal");
    }
  }

  #demandAllowed({ identity, credential }: VerifiedPeer, asked: Asked): void {
    const { clock } = this.#parts;
    const { id: portal, name, protocol, target, nodes, pins } = this.#desired;
    const node = this.#parts.node();
    demandServed(node, name);
    if (pins !== undefined && !pins.includes(identity.identifier))
      throw new Fault("identity_unexpected", "the outlet is pinned to other nodes");
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
      request: { ...asked, protocol, time: Math.floor(clock.now()) },
    });
    if (decision.allowed) return;
    const policy = decision.by === "policy" ? ` (${this.#policy?.name})` : "";
    throw new Fault("forbidden", `${decision.reason}${policy}`);
  }

  #refused(peer: VerifiedPeer, fault: Fault): void {
    this.counts.refused++;
    this.#failed("a connection was refused", peer, fault, fault.code === "internal" ? "error" : "warn");
  }

  #failed(what: string, { identity }: VerifiedPeer, fault: Fault, level: "debug" | "warn" | "error"): void {
    const { log, clock } = this.#parts;
    if (level !== "debug") this.counts.failed(fault, clock.now());
    const { code, message: reason } = fault;
    log[level](what, { portal: this.#desired.name, from: identity.identifier, code, reason });
  }
}

/** A node serves what its own credential names, by the portal's name, and nothing else; `*` names all. Fault `forbidden`. */
function demandServed({ attributes: { backend_access: served } }: PolicySubject, name: string): void {
  if (Array.isArray(served) && (served.includes("*") || served.includes(name))) return;
  throw new Fault("forbidden", `backend_access of this node's licence does not name ${name}`);
}

/** HTTP clients are told when to come again: an answer of its own, where a reset has a code only. */
function sayLimited(stream: MuxStream, { detail: { retryAfterMs } }: Fault): void {
  const answer = new Uint8Array([portalAnswer.heard, portalAnswer.connected]);
  const head = encodeHead({ code: "limited", retryAfterMs: typeof retryAfterMs === "number" ? retryAfterMs : 1_000 });
  stream.write(concat(answer, head)).catch(() => undefined); // its reader is told
  stream.end();
}
