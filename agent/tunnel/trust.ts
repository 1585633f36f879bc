import type { Bytes } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { asFault, Fault } from "#lib/fault";
import { type NodeKeys, sealedKid, verifyIdentity } from "#lib/identity";
import { clockLeewayMs } from "#lib/limits";
import type { Log } from "#lib/log";
import {
  type AuthorityView,
  type Credential,
  canUseOwn,
  checkNotBelow,
  createAuthorityView,
  type Freshness,
  raiseFreshness,
  revokedIdentifiers,
  verifyCredential,
  verifyRevocation,
} from "#lib/statement";
import type { EnrollmentRecord } from "../store/cloud-store.ts";
import type { Store } from "../store/open-store.ts";
import type { CorrectedClock } from "./corrected-clock.ts";

/** A credential as it is shown, with what it says. */
export interface OwnCredential {
  readonly jws: string;
  /** Undefined when it could not be read at the start, such as one that has run out: it is refreshed at the first session. */
  readonly claims: Credential | undefined;
}

/** What a `credential` or `revocations` message brings. */
export interface ShownList {
  readonly authority: Uint8Array;
  readonly revocations: string;
}

export interface TrustParts {
  readonly store: Pick<Store, "identity" | "cloud">;
  readonly suite: CryptoSuite;
  readonly clock: CorrectedClock;
  readonly log: Log;
}

/** Who this node is and whom it believes: keys, credential, authority, revocation list, the highest numbers (PROTOCOL §3). */
export class Trust {
  readonly authority: AuthorityView;
  readonly enrollment: EnrollmentRecord & { readonly agentId: string; readonly solarisPublic: Bytes };
  readonly #parts: TrustParts;
  #keys: NodeKeys;
  #credential: OwnCredential;
  #freshness: Freshness;
  #revoked: ReadonlySet<string> = new Set();
  readonly #listeners = new Set<() => void>();
  /** Highest number of a desired state that was shown and verified, but does not fit this version: it is not withheld. */
  #unfit = 0;
  /** Names numbers that are not held yet: used once they are. */
  #unmatched: { readonly jws: string; readonly claims: Credential; readonly rotated: boolean } | undefined;

  private constructor(
    parts: TrustParts,
    held: { keys: NodeKeys; credential: OwnCredential; authority: AuthorityView; freshness: Freshness },
    enrollment: Trust["enrollment"],
  ) {
    this.#parts = parts;
    this.#keys = held.keys;
    this.#credential = held.credential;
    this.#freshness = held.freshness;
    this.authority = held.authority;
    this.enrollment = enrollment;
  }

  /** What the store holds. Fault `not_found` before the enrollment was answered. */
  static async load(parts: TrustParts): Promise<Trust> {
    const { store, suite, clock } = parts;
    const keys = await store.identity.current();
    const enrollment = await store.cloud.enrollment();
    const record = await store.cloud.authority();
    const { agentId, solarisPublic, credential } = enrollment ?? {};
    if (keys === undefined || record === undefined || agentId == null || solarisPublic == null || credential == null)
      throw new Fault("not_found", "this node is not enrolled");
    if (enrollment === undefined) throw new TypeError("an enrollment without its record");
    const identity = await verifyIdentity(suite, record.chain, { now: "any time", expected: enrollment.authority });
    const authority = createAuthorityView(suite, identity);
    const own = { jws: credential, claims: await readOwn(parts, keys, authority, credential) };
    const held = { keys, credential: own, authority, freshness: record.freshness };
    const trust = new Trust(parts, held, { ...enrollment, agentId, solarisPublic });
    if (record.revocationList !== null) await trust.#recall(record.revocationList);
    clock.correct(clock.now(), record.freshness.authorityIat * 1_000); // never behind what the authority has vouched for
    return trust;
  }

  get keys(): NodeKeys {
    return this.#keys;
  }

  get credential(): OwnCredential {
    return this.#credential;
  }

  get freshness(): Freshness {
    return this.#freshness;
  }

  /** Calls `act` whenever the list or the own credential is another; returns what ends that. */
  onChange(act: () => void): () => void {
    this.#listeners.add(act);
    return () => this.#listeners.delete(act);
  }

  /** ms that the credential in use still counts; 0 = it has run out, or could not be read. */
  get usableMs(): number {
    const { claims } = this.#credential;
    return claims === undefined ? 0 : Math.max(0, claims.exp * 1_000 + clockLeewayMs - this.#parts.clock.now());
  }

  /** Whether a fresh credential waits for numbers that are withheld. */
  get waits(): boolean {
    return this.#unmatched !== undefined;
  }

  isRevoked(identifier: string): boolean {
    return this.#revoked.has(identifier);
  }

  /** The keys to open `sealed` with: while a rotation is under way Solaris may have sealed to the next ones already. */
  async keysFor(sealed: string): Promise<NodeKeys> {
    const pending = await this.#parts.store.identity.pending();
    return pending !== undefined && sealedKid(sealed) === pending.identity.last.hash ? pending : this.#keys;
  }

  /** A longer chain of the authority was taken by `authority.offer`: keeps it. */
  async keepAuthority(): Promise<void> {
    await this.#parts.store.cloud.keepAuthority(this.authority.identity.chain);
  }

  /** Takes a revocation list; an older one than the one held is refused (`statement_stale`). Durable when it resolves. */
  async takeList({ authority, revocations }: ShownList): Promise<void> {
    const { suite, clock, store } = this.#parts;
    if ((await this.authority.offer(authority, clock.now())) === "extended") await this.keepAuthority();
    const claims = await verifyRevocation(suite, revocations, { authority: this.authority.identity, now: clock.now() });
    checkNotBelow(this.#freshness, "revocations", claims.number);
    await store.cloud.keepRevocations(claims.number, revocations, claims.iat);
    this.#revoked = revokedIdentifiers(claims);
    this.#freshness = raiseFreshness(this.#freshness, { revocations: claims.number, authorityIat: claims.iat });
    await this.#match();
    this.#changed();
  }

  /**
   * Takes a fresh credential with the list that belongs to it; of the rotated identity where a rotation is under way. It is
   * used, and a rotation is confirmed, once the numbers it names are held.
   */
  async takeCredential(jws: string, shown: ShownList): Promise<void> {
    const { suite, clock, store } = this.#parts;
    await this.takeList(shown);
    const authority = this.authority.identity;
    const pending = await store.identity.pending();
    const verify = (subject: NodeKeys["identity"]) =>
      verifyCredential(suite, jws, { authority, subject, now: clock.now() });
    const rotated = pending === undefined ? undefined : await verify(pending.identity).catch(() => undefined); // then of the change before
    const claims = rotated ?? (await verify(this.#keys.identity));
    await this.#raise({ authorityIat: claims.iat });
    this.#unmatched = { jws, claims, rotated: rotated !== undefined };
    await this.#match();
  }

  /** A desired state of this number was verified and stored. */
  async desiredTaken(number: number): Promise<void> {
    await this.#raise({ desired: number });
    await this.#match();
  }

  /** A desired state of this number was verified, and can't be taken: the node goes on with the one it has. */
  async desiredUnfit(number: number): Promise<void> {
    this.#unfit = Math.max(this.#unfit, number);
    await this.#match();
  }

  async #raise(verified: Partial<Freshness>): Promise<void> {
    this.#freshness = raiseFreshness(this.#freshness, verified);
    await this.#parts.store.cloud.raise(verified);
  }

  async #match(): Promise<void> {
    const next = this.#unmatched;
    if (next === undefined) return;
    if (!canUseOwn(raiseFreshness(this.#freshness, { desired: this.#unfit }), next.claims)) return;
    const { identity, cloud } = this.#parts.store;
    this.#unmatched = undefined;
    if (next.rotated) {
      await identity.confirmRotation(next.jws);
      this.#keys = (await identity.current()) ?? this.#keys;
      this.#parts.log.info("identity rotated", { changes: this.#keys.identity.changes.length });
    } else await cloud.keepCredential(next.jws);
    this.#credential = { jws: next.jws, claims: next.claims };
    this.#changed();
  }

  #changed(): void {
    for (const act of [...this.#listeners]) act();
  }

  async #recall(list: string): Promise<void> {
    const { suite, clock, log } = this.#parts;
    try {
      const authority = this.authority.identity;
      this.#revoked = revokedIdentifiers(await verifyRevocation(suite, list, { authority, now: clock.now() }));
    } catch (error) {
      // Signed by a key of the authority that was rotated since: its number stays the floor, the next list comes at once.
      log.warn("stored revocation list not usable", { code: asFault(error, "internal").code });
    }
  }
}

async function readOwn(parts: TrustParts, keys: NodeKeys, authority: AuthorityView, jws: string) {
  const { suite, clock } = parts;
  try {
    const subject = keys.identity;
    return await verifyCredential(suite, jws, { authority: authority.identity, subject, now: clock.now() });
  } catch {
    return undefined; // shown all the same: the far end decides, and a session brings a fresh one
  }
}
