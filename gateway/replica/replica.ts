import { type Cancel, type Clock, type Random, sleep } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { asFault, Fault } from "#lib/fault";
import { createIdentity, type NodeKeys, nodeKeys, verifyIdentity } from "#lib/identity";
import type { Log } from "#lib/log";
import type { StartAnswer } from "#lib/session";
import { type AuthorityView, type Credential, createAuthorityView, verifyCredential } from "#lib/statement";
import type { RevocationList } from "./revocation-list.ts";
import { bytesOf, type SolarisClient } from "./solaris-client.ts";

const retryMinMs = 500;
const retryMaxMs = 10_000;

/** What a replica may do and say while its credential is in date. */
export interface Appointment {
  readonly gatewayId: string;
  /** A dedicated gateway serves this customer alone; null = all. */
  readonly customerId: string | null;
  /** The origins that agents may name as `aud`. */
  readonly origins: readonly string[];
  /** Compact JWS, as peers are shown it. */
  readonly credential: string;
  readonly claims: Credential;
}

/** What a replica needs from around it. */
export interface ReplicaParts {
  readonly suite: CryptoSuite;
  readonly clock: Clock;
  readonly random: Random;
  readonly solaris: SolarisClient;
  readonly log: Log;
  readonly version: string;
  readonly hostname: string;
  readonly revocations: RevocationList;
  /** A fresh credential is held: sessions show it to their peers. */
  renewed(appointment: Appointment): void;
}

/**
 * This process as a node: an identity that lives in memory alone, made at each start, with a credential of role
 * `nexus` that is renewed at half its life (PROTOCOL §6). Stores nothing.
 */
export class Replica implements Disposable {
  readonly keys: NodeKeys;
  readonly #parts: ReplicaParts;
  readonly #ended = new AbortController();
  #authority: AuthorityView | undefined;
  #appointment: Appointment | undefined;
  #cancel: Cancel = () => undefined;

  private constructor(parts: ReplicaParts, keys: NodeKeys) {
    this.#parts = parts;
    this.keys = keys;
  }

  /** Makes the identity; talks to nobody yet. */
  static async create(parts: ReplicaParts): Promise<Replica> {
    const { suite, random, clock } = parts;
    const own = await createIdentity(suite, random, { now: clock.now() });
    return new Replica(parts, await nodeKeys(suite, own.secrets, own.identity));
  }

  get identifier(): string {
    return this.keys.identity.identifier;
  }

  /** The authority as this replica knows it. Fault `unavailable` before Solaris was reached. */
  get authority(): AuthorityView {
    if (this.#authority === undefined) throw new Fault("unavailable", "Solaris was not reached yet");
    return this.#authority;
  }

  /** What Solaris granted; undefined before the first time and once the credential has run out. */
  get appointment(): Appointment | undefined {
    const held = this.#appointment;
    return held !== undefined && held.claims.exp * 1_000 > this.#parts.clock.now() ? held : undefined;
  }

  /** Asks Solaris until it grants, then renews for ever. Resolves with the first grant; rejects only when disposed. */
  async start(): Promise<Appointment> {
    const { log, clock, random } = this.#parts;
    for (let retryMs = retryMinMs; ; retryMs = Math.min(retryMaxMs, retryMs * 2)) {
      try {
        const appointment = await this.#ask();
        this.#renewLater(appointment);
        return appointment;
      } catch (error) {
        const fault = asFault(error, "unavailable");
        log.warn("no credential from Solaris yet", { code: fault.code, reason: fault.message });
      }
      await sleep(clock, retryMs * (0.5 + fraction(random)), { signal: this.#ended.signal });
    }
  }

  [Symbol.dispose](): void {
    this.#cancel();
    this.#ended.abort(new Fault("closed"));
  }

  #renewLater({ claims }: Appointment): void {
    const { clock, random } = this.#parts;
    const lifeMs = Math.max(2_000, claims.exp * 1_000 - clock.now());
    this.#cancel = clock.after(lifeMs * (0.4 + 0.2 * fraction(random)), () => {
      this.start().catch(() => undefined); // rejects only when disposed
    });
  }

  async #ask(): Promise<Appointment> {
    const { solaris, version, hostname, revocations, clock } = this.#parts;
    const answer = await solaris.start({ version, hostname, chain: this.keys.identity.chain });
    const authority = await this.#takeAuthority(answer);
    const claims = await verifyCredential(this.#parts.suite, answer.credential, {
      authority: authority.identity,
      subject: this.keys.identity,
      now: clock.now(),
    });
    if (claims.attrs.role !== "nexus") throw new Fault("credential_invalid", "not the credential of a Nexus");
    await revocations.take(answer.revocations, authority.identity);
    const { gatewayId, customerId, origins, credential } = answer;
    const appointment = { gatewayId, customerId, origins, credential, claims };
    this.#appointment = appointment;
    this.#parts.renewed(appointment);
    return appointment;
  }

  /** The first chain is taken from Solaris, which TLS or the process itself vouches for; later ones must extend it. */
  async #takeAuthority(answer: StartAnswer): Promise<AuthorityView> {
    const { suite, clock } = this.#parts;
    const chain = bytesOf(answer.authority);
    if (this.#authority === undefined)
      this.#authority = createAuthorityView(suite, await verifyIdentity(suite, chain, { now: clock.now() }));
    else await this.#authority.offer(chain, clock.now());
    return this.#authority;
  }
}

/** A random number, 0 up to 1. */
export function fraction(random: Random): number {
  const [high = 0, low = 0] = random(2);
  return (high * 256 + low) / 65_536;
}
