import { asFault, Fault, type FaultCode } from "#lib/fault";
import type { MuxStream, VerifiedPeer } from "#lib/link";
import { RateLimits, readOpening } from "#lib/portal";
import type { DesiredInlet, DesiredPolicy, DesiredPortal, DesiredReport } from "#lib/session";
import type { PeerChannels } from "../peers/peer-channels.ts";
import { HttpInlet } from "./http-inlet.ts";
import { Inlet, type InletParts, type RunningInlet } from "./inlet.ts";
import { Outlet, type OutletParts } from "./outlet.ts";
import { isAccepted } from "./pinned-nodes.ts";
import { Policies } from "./policies.ts";

/** Streams whose opening is being read. */
const unreadMax = 256;

export interface PortalHostParts extends Omit<OutletParts, "rates">, Pick<InletParts, "nexus"> {
  readonly peers: () => Pick<PeerChannels, "to" | "portalsChanged">;
}

type Item = DesiredReport["items"][number];

/** How one end of a portal stands, for `mercury status`. */
export interface PortalStatus {
  readonly name: string;
  readonly end: DesiredPortal["end"];
  readonly version: number;
  readonly state: "runs" | "disabled" | "failed";
  readonly reason?: string;
  readonly open: number;
  readonly total: number;
  readonly refused: number;
  readonly last?: { readonly at: number; readonly code: string; readonly reason: string };
}

/** An inlet that somebody at this machine has beside the one that is wanted. */
interface Terminal {
  readonly portal: string;
  readonly node: string | undefined;
  readonly listen: DesiredInlet["listen"];
  readonly inlet: RunningInlet;
  readonly ended: (fault: Fault) => void;
}

/** The ends of portals that run at this node. What the desired state does not list does not exist. */
export class PortalHost implements Disposable {
  readonly #parts: PortalHostParts;
  #wanted: readonly DesiredPortal[] = [];
  readonly #inlets = new Map<string, RunningInlet>();
  readonly #outlets = new Map<string, Outlet>();
  readonly #failures = new Map<string, Fault>();
  readonly #policies = new Policies();
  readonly #outletParts: OutletParts;
  readonly #terminals = new Set<Terminal>();
  #unread = 0;

  constructor(parts: PortalHostParts) {
    this.#parts = parts;
    this.#outletParts = { ...parts, rates: new RateLimits(parts.clock) };
  }

  /** Whether a portal that is switched on joins this node to another. */
  names(identifier: string): boolean {
    return this.#wanted.some((portal) => portal.enabled && portal.mode === "e2e" && isAccepted(portal, identifier));
  }

  /** Brings what runs to what is wanted. Resolves with what to report of each, those that went included. */
  async apply(wanted: readonly DesiredPortal[], wantedPolicies: readonly DesiredPolicy[] = []): Promise<Item[]> {
    const before = this.#wanted;
    this.#wanted = wanted;
    const policies = this.#policies.apply(wantedPolicies);
    const active = new Map(wanted.filter(({ enabled }) => enabled).map((portal) => [portal.id, portal]));
    for (const [id, inlet] of this.#inlets) if (active.get(id)?.end !== "inlet") this.#stop(this.#inlets, id, inlet);
    for (const [id, outlet] of this.#outlets)
      if (active.get(id)?.end !== "outlet") this.#stop(this.#outlets, id, outlet);
    this.#failures.clear();
    for (const portal of active.values()) {
      try {
        await this.#run(portal);
      } catch (error) {
        const fault = asFault(error, "internal");
        this.#failures.set(portal.id, fault);
        const { code, message: reason } = fault;
        this.#parts.log.error("portal can't run", { portal: portal.name, code, reason });
      }
    }
    this.#changeTerminals(active);
    this.#parts.peers().portalsChanged();
    const names = new Set(wanted.map(({ name }) => name));
    const gone = new Set(before.map(({ name }) => name).filter((name) => !names.has(name)));
    return [
      ...policies,
      ...wanted.map((portal) => this.#itemOf(portal)),
      ...[...gone].map((name) => ({ kind: "portal" as const, name, actual: 0, wanted: 0, state: "removed" as const })),
    ];
  }

  /**
   * An inlet of a portal that has one at this node, at another address and perhaps to one of its nodes only, until it is closed or the
   * portal ends. Faults: `not_found`, `not_allowed_here`, `config` when the address can't be had.
   */
  async connect(
    asked: {
      readonly outlet: string;
      readonly node?: string | undefined;
      readonly listen: { host: string; port: number };
    },
    told: Pick<Terminal, "ended"> & { readonly failed: (fault: Fault) => void },
  ): Promise<{ readonly inlet: RunningInlet; close(): void }> {
    const { outlet, node, listen } = asked;
    const inlets = this.#wanted.flatMap((portal) => (portal.end === "inlet" && portal.enabled ? portal : []));
    const portal = inlets.find(({ name }) => name === outlet);
    const names = inlets.map(({ name }) => name).join(", ");
    if (portal === undefined)
      throw new Fault(
        "not_found",
        `no portal ${outlet} leads from this node; there ${names === "" ? "is none" : `are: ${names}`}`,
      );
    const desired = narrowed(portal, node, listen);
    if (desired === undefined) {
      const { agentIds, name } = portal;
      throw new Fault(
        "not_found",
        `${name} does not lead to ${node}; it leads to: ${agentIds.join(", ") || "nobody yet"}`,
      );
    }
    const inlet = await startInlet(desired, { ...this.#inletParts(), failed: told.failed });
    const terminal = { portal: portal.id, node, listen, inlet, ended: told.ended };
    this.#terminals.add(terminal);
    const close = () => {
      if (this.#terminals.delete(terminal)) inlet.close();
    };
    return { inlet, close };
  }

  /** A stream that another node opened: read, judged and served. */
  async taken(stream: MuxStream, peer: VerifiedPeer): Promise<void> {
    if (this.#unread >= unreadMax) {
      stream.reset("limited");
      return;
    }
    this.#unread++;
    let read: Awaited<ReturnType<typeof readOpening>>;
    try {
      read = await readOpening(stream, this.#parts.clock);
    } catch (error) {
      stream.reset(asFault(error, "internal").code);
      return;
    } finally {
      this.#unread--;
    }
    const outlet = this.#outlets.get(read.opening.portal);
    if (outlet === undefined) stream.reset("not_found");
    else await outlet.serve(stream, peer, read.opening, read.rest);
  }

  /** Why a stream that a node opened before may not go on (PROTOCOL §9); what policy would not let open now is reset. */
  resumed(stream: MuxStream, peer: VerifiedPeer): FaultCode | undefined {
    for (const outlet of this.#outlets.values()) {
      const code = outlet.refusalOf(stream, peer);
      if (code !== undefined) return code;
    }
    return undefined;
  }

  /** A node shows another credential: what is served for it is judged again. */
  renewed(peer: VerifiedPeer): void {
    for (const outlet of this.#outlets.values()) outlet.renewed(peer);
  }

  /** This node has other attributes: what it serves is judged again. */
  judgeAll(): void {
    for (const outlet of this.#outlets.values()) outlet.judgeAll();
  }

  status(): PortalStatus[] {
    return this.#wanted.map((portal) => {
      const running = this.#running(portal.id);
      const fault = this.#failures.get(portal.id);
      const { open = 0, total = 0, refused = 0, last } = running?.counts ?? {};
      return {
        name: portal.name,
        end: portal.end,
        version: running?.desired.version ?? 0,
        state: fault !== undefined ? "failed" : running === undefined ? "disabled" : "runs",
        ...(fault === undefined ? {} : { reason: fault.message }),
        open,
        total,
        refused,
        ...(last === undefined ? {} : { last }),
      };
    });
  }

  [Symbol.dispose](): void {
    for (const { inlet } of this.#terminals) inlet.close();
    for (const [id, inlet] of this.#inlets) this.#stop(this.#inlets, id, inlet);
    for (const [id, outlet] of this.#outlets) this.#stop(this.#outlets, id, outlet);
  }

  async #run(portal: DesiredPortal): Promise<void> {
    if (portal.end === "outlet") {
      const running = this.#outlets.get(portal.id);
      try {
        const policy = this.#policies.of(portal.policy);
        if (running === undefined) this.#outlets.set(portal.id, new Outlet(portal, policy, this.#outletParts));
        else running.update(portal, policy);
      } catch (error) {
        // No last good form here: it might let in whom the policy is meant to keep out.
        this.#outlets.delete(portal.id);
        running?.close("forbidden");
        throw error;
      }
      return;
    }
    demandWay(portal);
    const running = this.#inlets.get(portal.id);
    if (running !== undefined && samePlace(running.desired, portal)) {
      running.update(portal);
      return;
    }
    // The one before goes on until its successor listens: the last good form is kept where that fails.
    const inlet = await startInlet(portal, this.#inletParts());
    running?.close();
    this.#inlets.set(portal.id, inlet);
  }

  /** What terminals have is never wider than what is wanted now. */
  #changeTerminals(active: ReadonlyMap<string, DesiredPortal>): void {
    for (const terminal of this.#terminals) {
      const portal = active.get(terminal.portal);
      const now = portal?.end === "inlet" ? narrowed(portal, terminal.node, terminal.listen) : undefined;
      if (now !== undefined && now.protocol === terminal.inlet.desired.protocol) terminal.inlet.update(now);
      else {
        this.#terminals.delete(terminal);
        terminal.inlet.close();
        terminal.ended(new Fault("closed", "the portal has ended, or leads elsewhere now"));
      }
    }
  }

  #inletParts(): InletParts {
    const { clock, log, site, peers, nexus } = this.#parts;
    return { clock, log, site, nexus, peers: { to: (identifier) => peers().to(identifier) } };
  }

  #stop<Part extends RunningInlet | Outlet>(parts: Map<string, Part>, id: string, part: Part): void {
    parts.delete(id);
    part.close();
  }

  #running(id: string): RunningInlet | Outlet | undefined {
    return this.#inlets.get(id) ?? this.#outlets.get(id);
  }

  #itemOf({ id, name, version, enabled }: DesiredPortal): Item {
    const fault = this.#failures.get(id);
    const actual = this.#running(id)?.desired.version ?? 0;
    const common = { kind: "portal" as const, name, actual, wanted: version };
    if (fault !== undefined)
      return { ...common, state: "failed", code: fault.code, reason: fault.message.slice(0, 500) };
    return { ...common, actual: enabled ? actual : version, state: enabled ? "applied" : "disabled" };
  }
}

/** A portal at another address; undefined where it does not lead to `node` (an agent's id, or an identifier's beginning). */
function narrowed(
  portal: DesiredInlet,
  node: string | undefined,
  listen: DesiredInlet["listen"],
): DesiredInlet | undefined {
  if (node === undefined) return { ...portal, listen };
  const at = portal.nodes.flatMap((identifier, index) =>
    portal.agentIds[index] === node || (node.length >= 9 && identifier.startsWith(node)) ? [index] : [],
  );
  const picked = <T>(all: readonly T[]) => all.filter((_, index) => at.includes(index));
  if (at.length === 0) return undefined;
  return { ...portal, listen, nodes: picked(portal.nodes), agentIds: picked(portal.agentIds) };
}

/** Fault `config` for a way that there is not: nothing goes another one instead. */
function demandWay({ mode, protocol, tls }: DesiredInlet): void {
  if (mode !== "e2e" && protocol === "http") throw new Fault("config", "HTTP goes end to end alone");
  if ((mode === "tls") !== (tls !== undefined)) throw new Fault("config", "mode and destination do not go together");
}

const startInlet = (desired: DesiredInlet, parts: InletParts): Promise<RunningInlet> =>
  desired.protocol === "http" ? HttpInlet.start(desired, parts) : Inlet.start(desired, parts);

function samePlace({ listen: a, protocol }: DesiredInlet, { listen: b, protocol: other }: DesiredInlet): boolean {
  if (protocol !== other) return false;
  if ("unix" in a || "unix" in b) return "unix" in a && "unix" in b && a.unix === b.unix;
  return a.host === b.host && a.port === b.port;
}
