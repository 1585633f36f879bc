import type { Clock } from "#lib/clock";
import { asFault, Fault } from "#lib/fault";
import { openingsPendingMax } from "#lib/limits";
import { subprotocol } from "#lib/link";
import type { AuthorizeAnswer } from "#lib/session";
import { type Authorization, readAuthorizationUnverified } from "#lib/statement";
import type { SolarisClient } from "../replica/solaris-client.ts";
import type { AddressLimits } from "./address-limits.ts";
import type { Admission } from "./admission.ts";
import type { Refusals } from "./refusals.ts";
import type { UnknownIdentifiers } from "./unknown-identifiers.ts";

/** Another replica may take the next try: it need not wait longer each time. */
const drainingRetryMs = 1_500;

/** What a request for a tunnel says of itself; all of it unverified but `address`. */
export interface OpeningRequest {
  /** True address of the client. */
  readonly address: string;
  /** Whether the bytes came over TLS, from this machine, or over what the operator declared safe. */
  readonly secure: boolean;
  /** Subprotocols offered, in their order. */
  readonly protocols: readonly string[];
  readonly authorization: string | null;
}

/** What Solaris granted. */
export type Grant = Extract<AuthorizeAnswer, { decision: "accept" }>;

/** An opening that Solaris accepts. */
export interface AcceptedOpening {
  readonly kind: "accept";
  readonly grant: Grant;
  readonly authorization: Authorization;
}

/**
 * What becomes of a request. `deny`: a bare status, nothing said before the MAC held. `refuse`: an accepted upgrade, one
 * `0x04` message, a close; `answer` = Solaris' word, base64url.
 */
export type OpeningDecision =
  | AcceptedOpening
  | { readonly kind: "deny"; readonly status: 401 | 403 | 429 | 503; readonly retryAfterMs?: number }
  | {
      readonly kind: "refuse";
      readonly code: string;
      readonly answer?: string;
      readonly retryAfterMs?: number;
    };

/** What judging an opening takes. */
export interface OpeningParts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly solaris: Pick<SolarisClient, "authorize">;
  readonly addresses: AddressLimits;
  readonly unknown: UnknownIdentifiers;
  readonly admission: Admission;
  readonly refusals: Refusals;
  /** Identifier and origins of this replica; Fault when it must not admit anyone now. */
  admitting(): { readonly nexus: string; readonly origins: readonly string[] };
  isRevoked(identifier: string): boolean;
}

/** Judges openings in the order of PROTOCOL §5: what is cheap first, Solaris last. */
export class Openings {
  readonly #parts: OpeningParts;
  #pending = 0;

  constructor(parts: OpeningParts) {
    this.#parts = parts;
  }

  /** Openings between their first byte and Solaris' answer. */
  get pending(): number {
    return this.#pending;
  }

  /** What becomes of `request`. Counts what is refused before the MAC held. */
  async judge(request: OpeningRequest): Promise<OpeningDecision> {
    const { clock, refusals } = this.#parts;
    let sub: string | null = null;
    try {
      const authorization = this.#form(request);
      sub = authorization.claims.sub;
      const { nexus, origins } = this.#parts.admitting();
      if (!origins.includes(authorization.claims.aud.replace(/^ws/, "http"))) throw new Fault("audience");
      return await this.#admit(request, authorization, nexus);
    } catch (error) {
      const fault = asFault(error, "internal");
      refusals.count(request.address, fault.code, sub, clock.now());
      return bare(fault);
    }
  }

  /** Form and size, before anything is spent. */
  #form({ secure, protocols, authorization }: OpeningRequest): Authorization {
    if (!secure) throw new Fault("forbidden", "a tunnel without TLS");
    if (!protocols.includes(subprotocol)) throw new Fault("bad_request", "another subprotocol");
    if (authorization === null) throw new Fault("unauthenticated");
    return readAuthorizationUnverified(authorization);
  }

  /** Limits, then Solaris. */
  async #admit(request: OpeningRequest, authorization: Authorization, nexus: string): Promise<OpeningDecision> {
    const { addresses, unknown, admission, clock, random, isRevoked } = this.#parts;
    const { sub } = authorization.claims;
    const beganMs = clock.monotonic();
    if (!addresses.take(request.address, beganMs)) throw new Fault("limited");
    if (unknown.has(sub, beganMs)) throw new Fault("authorization_invalid", "an identifier that Solaris did not know");
    const waitMs = this.#pending >= openingsPendingMax ? 1_000 : admission.enter(beganMs, random());
    if (waitMs > 0) return { kind: "refuse", code: "limited", retryAfterMs: waitMs };
    this.#pending += 1;
    try {
      const decision = await this.#ask(request, authorization, nexus);
      if (decision.kind !== "accept") return decision;
      addresses.giveBack(request.address, clock.monotonic());
      // The list may be newer here than where Solaris' answer was made.
      return isRevoked(decision.grant.identifier) ? { kind: "refuse", code: "revoked" } : decision;
    } finally {
      this.#pending -= 1;
      admission.completed(clock.monotonic() - beganMs);
    }
  }

  async #ask(request: OpeningRequest, authorization: Authorization, nexus: string): Promise<OpeningDecision> {
    const { solaris, unknown, clock } = this.#parts;
    const { aud, sub } = authorization.claims;
    const header = `Mercury ${authorization.token}`;
    const answer = await solaris.authorize({ authorization: header, origin: aud, address: request.address, nexus });
    switch (answer.decision) {
      case "accept":
        if (answer.identifier !== sub) throw new Fault("identity_unexpected", "Solaris answered for another identity");
        return { kind: "accept", grant: answer, authorization };
      case "refuse": {
        const { code, answer: word, retryAfterMs } = answer;
        return { kind: "refuse", code, answer: word, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
      }
      case "deny":
        if (answer.unknown) unknown.add(sub, clock.monotonic());
        throw new Fault("authorization_invalid", "Solaris denies it");
    }
  }
}

/** What anyone may see before the MAC held: that it was refused, and whether it is worth coming back. */
function bare(fault: Fault): OpeningDecision {
  if (fault.code === "limited") return { kind: "deny", status: 429, retryAfterMs: 60_000 };
  if (fault.code === "forbidden") return { kind: "deny", status: 403 };
  if (fault.code === "draining") return { kind: "refuse", code: fault.code, retryAfterMs: drainingRetryMs };
  if (fault.entry.retry && fault.entry.status >= 500) return { kind: "refuse", code: fault.code };
  return { kind: "deny", status: 401 };
}
