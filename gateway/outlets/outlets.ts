import type { Cancel, Clock } from "#lib/clock";
import { asFault, Fault, type FaultCode } from "#lib/fault";
import { outletConnectionsMax, outletConnectionsPerSessionMax, outletJudgeEveryMs } from "#lib/limits";
import type { MuxStream, VerifiedPeer } from "#lib/link";
import type { Log } from "#lib/log";
import { decide } from "#lib/policy";
import { dialService, joinSocket, portalAnswer, RateLimits, readOpening, resetReason } from "#lib/portal";
import type { OutletAnswer } from "#lib/session";
import type { GatewayMetrics } from "../gateway-metrics.ts";
import type { SessionKey, SolarisClient } from "../replica/solaris-client.ts";
import type { OutletGuard } from "./outlet-guard.ts";
import { OutletPolicies } from "./outlet-policies.ts";

/** A session as its outlets see it. */
export interface OutletSession {
  readonly key: SessionKey;
  readonly customerId: string;
  /** Who is at its other end, as its newest credential says. */
  readonly peer: VerifiedPeer;
}

export interface OutletsParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly solaris: Pick<SolarisClient, "outlet">;
  readonly guard: OutletGuard;
  readonly metrics: Pick<GatewayMetrics, "outletBytes" | "outletRefusals">;
  /** Identifier of this replica. */
  readonly replica: string;
}

/** One connection, open or being opened. */
interface Served {
  readonly session: OutletSession;
  readonly stream: MuxStream;
  portal: string;
  /** Where it leads. */
  target: string;
}

/** Solaris can't say: what is open goes on, for the rest of its credential (PROTOCOL §5). */
const awayCodes: ReadonlySet<FaultCode> = new Set(["unavailable", "timeout", "limited", "internal"]);
/** Portals whose open connections are judged at once. */
const judgedAtOnce = 16;

/**
 * Portals of mode `terminated`: a stream that a session opens beside its own ends here, as one TCP connection to the portal's target.
 * Solaris is asked for each, and again while it is open; the operator's list has the last word (PROTOCOL §9).
 */
export class Outlets implements Disposable {
  readonly #parts: OutletsParts;
  readonly #rates: RateLimits;
  readonly #policies = new OutletPolicies();
  readonly #sessions = new Map<OutletSession, Set<Served>>();
  readonly #asking = new Map<string, Promise<OutletAnswer>>();
  #size = 0;
  #cancel: Cancel | undefined;

  constructor(parts: OutletsParts) {
    this.#parts = parts;
    this.#rates = new RateLimits(parts.clock);
  }

  /** Connections that are open or being opened. */
  get size(): number {
    return this.#size;
  }

  /** Serves a stream of a session. Never rejects: a refusal is told as a reset with its code. */
  async serve(session: OutletSession, stream: MuxStream): Promise<void> {
    const { guard, clock, metrics } = this.#parts;
    const served: Served = { session, stream, portal: "", target: "" };
    const all = this.#sessions.get(session) ?? new Set();
    if (guard.allowsNothing) {
      this.#refuse(served, new Fault("not_allowed_here", "this Nexus opens no connections (NEXUS_OUTLETS)"));
      return;
    }
    if (all.size >= outletConnectionsPerSessionMax || this.#size >= outletConnectionsMax) {
      this.#refuse(served, new Fault("limited", "as many connections as end here at most"));
      return;
    }
    this.#sessions.set(session, all.add(served));
    this.#size++;
    try {
      const { opening, rest } = await readOpening(stream, clock);
      served.portal = opening.portal;
      this.#rates.take(session.peer);
      const answer = await this.#ask(served);
      this.#demandAllowed(served, answer);
      served.target = targetOf(answer);
      if ([...all].filter(({ portal }) => portal === opening.portal).length > answer.connectionsMax)
        throw new Fault("limited", "as many connections as the portal allows are open");
      void stream.write(new Uint8Array([portalAnswer.heard])).catch(() => undefined); // its reader is told
      const allowed = (host: string, port: number) => guard.addressesOf(host, port);
      const socket = await dialService(answer.target, answer.connectTimeoutMs, allowed);
      void stream.write(new Uint8Array([portalAnswer.connected])).catch(() => undefined);
      this.#judgeLater();
      const { sentBytes, receivedBytes, fault } = await joinSocket(stream, socket, { first: rest });
      metrics.outletBytes.inc({ direction: "up" }, receivedBytes);
      metrics.outletBytes.inc({ direction: "down" }, sentBytes);
      if (fault !== undefined) this.#log("debug", "a connection was cut", served, resetReason(fault));
    } catch (error) {
      this.#refuse(served, resetReason(asFault(error, "internal")));
    } finally {
      all.delete(served);
      if (all.size === 0) this.#sessions.delete(session);
      this.#size--;
    }
  }

  [Symbol.dispose](): void {
    this.#cancel?.();
    for (const all of this.#sessions.values()) for (const { stream } of all) stream.reset("draining");
  }

  /** What Solaris says now of a session's portal; those that ask at the same time share the answer. */
  #ask({ session, portal }: Pick<Served, "session" | "portal">): Promise<OutletAnswer> {
    const { agentId, slot, epoch } = session.key;
    const key = `${agentId} ${slot} ${epoch} ${portal}`;
    const known = this.#asking.get(key);
    if (known !== undefined) return known;
    const asked = this.#parts.solaris.outlet(session.key, portal).finally(() => this.#asking.delete(key));
    this.#asking.set(key, asked);
    return asked;
  }

  #demandAllowed({ session, portal }: Served, answer: OutletAnswer): void {
    const { clock, replica } = this.#parts;
    const { customerId, name, protocol, target, nodes } = answer;
    if (customerId !== session.customerId) throw new Fault("not_found", "a portal of another customer");
    if (protocol !== "tcp") throw new Fault("forbidden", "only TCP ends here");
    const { identity, credential } = session.peer;
    const decision = decide(this.#policies.of(answer), {
      subject: { identifier: identity.identifier, attributes: credential.attrs },
      resource: {
        portal,
        name,
        kind: protocol,
        target,
        nodes,
        customerId,
        node: { identifier: replica, attributes: { role: "nexus" } },
      },
      request: { action: "open", protocol, time: Math.floor(clock.now()) },
    });
    if (!decision.allowed) throw new Fault("forbidden", decision.reason);
  }

  #judgeLater(): void {
    this.#cancel ??= this.#parts.clock.after(outletJudgeEveryMs, () => {
      void this.#judgeAll().finally(() => {
        this.#cancel = undefined;
        if (this.#size > 0) this.#judgeLater();
      });
    });
  }

  /** Judges again what is open: the portal, its mode, its policy, or what the customer requires may be another. */
  async #judgeAll(): Promise<void> {
    const groups = [...this.#sessions.values()].flatMap((all) => [
      ...Map.groupBy(all, ({ portal }) => portal)
        .entries()
        .filter(([portal]) => portal !== "")
        .map(([, group]) => group),
    ]);
    while (groups.length > 0) await Promise.all(groups.splice(0, judgedAtOnce).map((group) => this.#judge(group)));
  }

  async #judge(group: readonly Served[]): Promise<void> {
    const [first] = group;
    if (first === undefined) return;
    try {
      const answer = await this.#ask(first);
      this.#demandAllowed(first, answer);
      for (const { stream, target } of group) if (target !== "" && target !== targetOf(answer)) stream.reset("closed");
    } catch (error) {
      const fault = asFault(error, "internal");
      if (awayCodes.has(fault.code)) return;
      for (const { stream } of group) stream.reset(fault.code);
      this.#log("warn", "connections may not go on", first, fault);
    }
  }

  #refuse(served: Served, fault: Fault): void {
    served.stream.reset(fault.code);
    this.#parts.metrics.outletRefusals.inc({ code: fault.code });
    this.#log(fault.code === "internal" ? "error" : "warn", "a connection was refused", served, fault);
  }

  #log(level: "debug" | "warn" | "error", what: string, { session, portal }: Served, fault: Fault): void {
    const { code, message: reason } = fault;
    this.#parts.log[level](what, { agent: session.key.agentId, portal: portal.slice(0, 64), code, reason });
  }
}

const targetOf = ({ target: { host, port } }: OutletAnswer): string => `${host}:${port}`;
