import type { Random } from "#lib/clock";
import { asFault, Fault } from "#lib/fault";
import type { Link } from "#lib/link";
import type { Log } from "#lib/log";
import type { ControlDown, ControlUp } from "#lib/session";
import type { Store } from "../store/open-store.ts";
import type { CorrectedClock } from "./corrected-clock.ts";
import { refreshDelayMs } from "./refresh-time.ts";
import type { SessionTimers } from "./session-timers.ts";
import type { Trust } from "./trust.ts";

/** How long Nexus has to show a list that a credential names. */
const listTimeoutMs = 20_000;
const refreshRetryMs = 30_000;
/** Before one without the identity change that was refused, ms. */
const changeRefusedRetryMs = 500;

export interface SessionFreshnessParts {
  readonly store: Pick<Store, "identity">;
  readonly clock: CorrectedClock;
  readonly random: Random;
  readonly log: Log;
  readonly trust: Trust;
  readonly link: Link;
  readonly timers: SessionTimers;
  readonly send: (message: ControlUp) => Promise<void>;
}

/** Keeps one session's credential, revocation list and identity fresh (PROTOCOL §3), and ends it when they can't be. */
export class SessionFreshness {
  readonly #parts: SessionFreshnessParts;
  #fresh: () => void = () => undefined;
  /** The last refresh brought an identity change. */
  #broughtChange = false;

  constructor(parts: SessionFreshnessParts) {
    this.#parts = parts;
  }

  /** Asks for a fresh credential; with the next identity change where a rotation is under way or due. */
  async refresh({ withChange = true }: { readonly withChange?: boolean } = {}): Promise<void> {
    const { store, clock, send } = this.#parts;
    const next = withChange ? await store.identity.next(clock.now()) : undefined;
    const chain = next?.identity.chain;
    this.#broughtChange = chain !== undefined;
    await send({ type: "refresh", ...(chain === undefined ? {} : { chain }) });
  }

  /** The cloud refused a refresh. */
  refused(): void {
    // A change that is refused must not cost the node its credential: it lives on as it is, and offers the change again later.
    if (this.#broughtChange) this.#refreshIn(changeRefusedRetryMs, { withChange: false });
    else this.#refreshIn(refreshRetryMs);
  }

  /**
   * A list that a credential or the opening names and that is not held is waited for, and so is a credential that this node may
   * use: whoever withholds what it names does not get data from this node. The refresh brings both. Rejects when the session ends.
   */
  async become(named: number): Promise<void> {
    const { trust, clock, store, link } = this.#parts;
    const needed = Math.max(named, link.peer.credential.revocations, trust.credential.claims?.revocations ?? 0);
    if (link.peer.authorityExtended) await trust.keepAuthority();
    const rotating = (await store.identity.pending()) !== undefined;
    const listMissing = needed > trust.freshness.revocations;
    if (listMissing || rotating || refreshDelayMs(trust.credential.claims, clock.now(), 0.5) === 0)
      await this.refresh();
    else this.#schedule();
    const isFresh = () => needed <= trust.freshness.revocations && trust.usableMs > 0;
    if (!isFresh()) {
      const cancel = clock.after(listTimeoutMs, () => void link.close("statement_stale"));
      await new Promise<void>((resolve, reject) => {
        this.#fresh = () => {
          if (isFresh()) resolve();
        };
        void link.closed.then(reject);
      }).finally(cancel);
    }
    if (this.#endIfRevoked()) throw new Fault("revoked", "this Nexus was revoked");
    this.#watchOwn();
  }

  async takeCredential(message: Extract<ControlDown, { type: "credential" }>): Promise<void> {
    const { trust, log } = this.#parts;
    try {
      await trust.takeCredential(message.credential, message);
    } catch (error) {
      const { code, message: reason } = asFault(error, "internal");
      log.error("fresh credential not taken", { code, reason });
      this.#refreshIn(refreshRetryMs);
      return;
    }
    this.listTaken();
    this.ownTaken();
  }

  /** A revocation list was taken. */
  listTaken(): void {
    this.#fresh();
    this.#endIfRevoked();
  }

  /** One that names withheld numbers is not used, and another one would not be either: no reason to ask each second. */
  ownTaken(): void {
    this.#fresh();
    if (this.#parts.trust.waits) this.#refreshIn(refreshRetryMs);
    else this.#schedule();
  }

  /**
   * Nobody at the far end has to look at this node's credential, so it looks itself: without one that it may use it gives no data and
   * takes none. That ends what whoever withholds a desired state can gain.
   */
  #watchOwn(): void {
    const { trust, timers, link } = this.#parts;
    const { usableMs } = trust;
    if (usableMs === 0) void link.close("credential_expired");
    else timers.later("own credential", usableMs, () => this.#watchOwn());
  }

  #endIfRevoked(): boolean {
    const { trust, link } = this.#parts;
    const revoked = trust.isRevoked(link.peer.identity.identifier);
    if (revoked) void link.close("revoked");
    return revoked;
  }

  #schedule(): void {
    const { trust, clock, random } = this.#parts;
    const fraction = (random(1)[0] ?? 0) / 256;
    this.#refreshIn(Math.max(refreshDelayMs(trust.credential.claims, clock.now(), fraction), 1_000));
  }

  #refreshIn(delayMs: number, options?: { readonly withChange: boolean }): void {
    this.#parts.timers.later("refresh", delayMs, () => void this.refresh(options));
  }
}
