import type { Cancel, Clock } from "#lib/clock";
import { asFault, type FaultCode, isFaultCode } from "#lib/fault";
import type { Log } from "#lib/log";
import type { Digest } from "#lib/session";
import type { SolarisClient } from "../replica/solaris-client.ts";
import type { Refusals } from "../tunnel/refusals.ts";
import type { Registry } from "./registry.ts";
import type { Session } from "./session.ts";

const everyMs = 1_000;
/** Digests between two full ones. */
const fullEvery = 60;
const sessionsMax = 20_000;
const refusalsMax = 5_000;

/** What digests are made of. */
export interface DigestParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly solaris: Pick<SolarisClient, "digest">;
  readonly registry: Registry<Session>;
  readonly refusals: Refusals;
  /** Identifier of this replica. */
  readonly nexus: string;
}

/**
 * Tells Solaris once a second what changed, once a minute all that is open (DESIGN §7); ends what Solaris names in its
 * answer. What could not be told is told with the next one.
 */
export class Digests {
  readonly #parts: DigestParts;
  #cancel: Cancel = () => undefined;
  #count = 0;
  #fullDue = true;
  #stopped = false;

  constructor(parts: DigestParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#cancel = this.#parts.clock.after(everyMs, () => void this.#tick());
  }

  /** Sends what is left, then no more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#send();
  }

  async #tick(): Promise<void> {
    this.#parts.registry.tick();
    await this.#send();
    if (!this.#stopped) this.start();
  }

  async #send(): Promise<void> {
    const { registry, refusals, solaris, log, nexus } = this.#parts;
    this.#count += 1;
    const full = this.#fullDue || this.#count % fullEvery === 0;
    const told = [...registry.ready()].filter((session) => full || session.changed).slice(0, sessionsMax);
    const sessions = told.map((session) => {
      session.changed = false;
      return session.describe();
    });
    const digest: Digest = { nexus, full, sessions, ended: registry.takeEnded(), refusals: refusals.take(refusalsMax) };
    try {
      const { end } = await solaris.digest(digest);
      this.#fullDue = false;
      for (const { agentId, code } of end) registry.endAgent(agentId, endCode(code));
    } catch (error) {
      this.#fullDue = true; // a full one replaces all that Solaris knows of this replica
      registry.putBackEnded(digest.ended);
      refusals.putBack(digest.refusals);
      const fault = asFault(error, "unavailable");
      log.warn("a digest was not taken", { code: fault.code, reason: fault.message });
    }
  }
}

function endCode(code: string): FaultCode {
  return isFaultCode(code) ? code : "closed";
}
