import type { Clock, Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { asFault, Fault, isFaultCode } from "#lib/fault";
import { renewWithinMs } from "#lib/limits";
import { acceptLink, type ChannelTerms, type Link, refuseWire, subprotocol, type VerifiedPeer } from "#lib/link";
import type { Log } from "#lib/log";
import type { HttpConnection } from "#lib/runtime";
import { authorizationBinding } from "#lib/statement";
import { serverWire, type Wire } from "#lib/wire";
import type { GatewayMetrics } from "../gateway-metrics.ts";
import type { Replica } from "../replica/replica.ts";
import type { RevocationList } from "../replica/revocation-list.ts";
import type { RevocationWatch } from "../replica/revocation-watch.ts";
import type { AcceptedOpening, Grant, OpeningDecision, Openings } from "./opening.ts";

/** A session has its three streams; a few more may be opening or closing. */
const streamsMax = 16;
const retryAfterMaxMs = 0xffff_ffff;

/** What the door needs from around it. */
export interface TunnelParts {
  readonly suite: CryptoSuite;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: GatewayMetrics;
  readonly openings: Openings;
  readonly replica: Replica;
  readonly revocations: RevocationList;
  readonly watch: Pick<RevocationWatch, "lookFor">;
  /** A link is up whose far end is the agent of the grant. */
  opened(link: Link, grant: Grant, address: string): void;
}

/** `/tunnel`: from the request to an authenticated link, or to a refusal that says so (PROTOCOL §5, §6). */
export class TunnelDoor {
  readonly #parts: TunnelParts;
  /** One for all links: what a link keeps is kept for each of thousands. */
  readonly #freshness = (peer: VerifiedPeer) => this.#fresh(peer);

  constructor(parts: TunnelParts) {
    this.#parts = parts;
  }

  /** Answers one request; after an upgrade the answer goes nowhere. */
  async open(request: Request, connection: HttpConnection, address: string, secure: boolean): Promise<Response> {
    const { openings, metrics, clock } = this.#parts;
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket")
      return new Response(null, { status: 426, headers: { upgrade: "websocket" } });
    const protocols = (request.headers.get("sec-websocket-protocol") ?? "")
      .split(",")
      .flatMap((one) => one.trim() || []);
    const authorization = request.headers.get("authorization");
    const beganMs = clock.monotonic();
    const decision = await openings.judge({ address, secure, protocols, authorization });
    metrics.openingSeconds.observe((clock.monotonic() - beganMs) / 1_000);
    metrics.openings.inc({ outcome: outcomeOf(decision) });
    if (decision.kind === "deny") return bare(decision.status, decision.retryAfterMs);
    const socket = connection.upgrade({ "sec-websocket-protocol": subprotocol });
    if (socket === undefined) return bare(401);
    const wire = serverWire(socket);
    if (decision.kind === "refuse") refuse(wire, decision);
    else void this.#accept(wire, decision, protocols, address);
    return new Response(null);
  }

  async #accept(wire: Wire, opening: AcceptedOpening, offered: readonly string[], address: string): Promise<void> {
    const { log, opened } = this.#parts;
    const { grant } = opening;
    try {
      opened(await this.#link(wire, opening, offered), grant, address);
    } catch (error) {
      const { code, message } = asFault(error, "internal");
      const level = code === "internal" ? "error" : "info";
      log[level]("a handshake failed", { agent: grant.agentId, address, code, reason: message });
    }
  }

  async #link(wire: Wire, { grant, authorization }: AcceptedOpening, offered: readonly string[]): Promise<Link> {
    const { suite, clock, random, log, replica } = this.#parts;
    const { sub, aud } = authorization.claims;
    const terms: ChannelTerms = {
      purpose: "session",
      offered,
      chosen: subprotocol,
      initiator: sub,
      responder: aud,
      binding: await authorizationBinding(suite, authorization.token),
    };
    const appointment = replica.appointment;
    if (appointment === undefined) {
      refuse(wire, { kind: "refuse", code: "unavailable" });
      throw new Fault("unavailable", "the credential of this replica has run out");
    }
    if (appointment.customerId !== null && appointment.customerId !== grant.customerId) {
      refuse(wire, { kind: "refuse", code: "forbidden" });
      throw new Fault("forbidden", "an agent of another customer than this gateway's");
    }
    return acceptLink(wire, {
      suite,
      clock,
      random,
      log,
      terms,
      keys: replica.keys,
      credential: appointment.credential,
      authority: replica.authority,
      streamsMax,
      renewWithinMs,
      freshness: this.#freshness,
      policy: peerPolicy(grant.agentId, grant.customerId),
    });
  }

  /** Waits for the list that the peer's credential names (PROTOCOL §3). */
  async #fresh({ identity, credential }: VerifiedPeer): Promise<void> {
    const { revocations, watch } = this.#parts;
    const held = credential.revocations <= revocations.number || (await watch.lookFor(credential.revocations));
    if (!held) throw new Fault("unavailable", "a revocation list is missing");
    if (revocations.has(identity.identifier)) throw new Fault("revoked");
  }
}

/** Its own function, so that a link keeps these two texts and not all that its opening had in reach. */
function peerPolicy(agentId: string, customerId: string): (peer: VerifiedPeer) => void {
  return ({ credential: { attrs } }) => {
    if (attrs.agent_id !== agentId || attrs.customer_id !== customerId)
      throw new Fault("forbidden", "a credential of another agent or customer");
  };
}

function refuse(wire: Wire, { code, answer, retryAfterMs }: Extract<OpeningDecision, { kind: "refuse" }>): void {
  refuseWire(wire, {
    code,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs: Math.min(retryAfterMaxMs, Math.ceil(retryAfterMs)) }),
    ...(answer === undefined ? {} : { answer }),
  });
}

function bare(status: number, retryAfterMs?: number): Response {
  const headers = new Headers({ "cache-control": "no-store" });
  if (retryAfterMs !== undefined) headers.set("retry-after", String(Math.ceil(retryAfterMs / 1_000)));
  return new Response(null, { status, headers });
}

/** Known codes alone become labels: what a peer or Solaris may make up does not grow the registry. */
function outcomeOf(decision: OpeningDecision): string {
  if (decision.kind === "accept") return "accepted";
  if (decision.kind === "deny") return `denied_${decision.status}`;
  return isFaultCode(decision.code) ? decision.code : "other";
}
