import { fromBase64url, hex, utf8 } from "#lib/bytes";
import type { Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { checkInDate, type VerifiedIdentity, verifyIdentity } from "#lib/identity";
import { sealedDownAgeMaxMs, sealedReplaysMax } from "#lib/limits";
import type { DesiredPlugin, DownMessage, NamedIdentity, UpMessage } from "#lib/session";
import {
  isSealed,
  type OpenedMessage,
  openMessage,
  readSealedBody,
  recipientOf,
  sealedContentType,
  sealMessage,
} from "#lib/statement";
import type { DownDelivery } from "../plugins/plugin.ts";
import type { LaneIntake } from "../store/intake.ts";
import type { Trust } from "../tunnel/trust.ts";

/** What the seals of all lanes of a node share. */
export interface SealParts {
  readonly suite: CryptoSuite;
  readonly random: Random;
  /** ms since 1970, corrected. */
  readonly now: () => number;
  readonly trust: Pick<Trust, "keys" | "keysFor" | "isRevoked" | "enrollment">;
}

interface Named {
  readonly solaris: VerifiedIdentity;
  readonly senders: readonly VerifiedIdentity[];
  readonly consumer: VerifiedIdentity | null;
}

/**
 * What one plugin's messages must be, and how they are opened and made (PROTOCOL §8). A sealed plugin takes what is sealed to this
 * node and signed by a sender that the desired state names, and nothing else. One that is not can't open what is sealed.
 */
export class LaneSeal implements LaneIntake {
  readonly #parts: SealParts;
  readonly #plugin: string;
  readonly #named: Named | undefined;

  private constructor(parts: SealParts, plugin: string, named: Named | undefined) {
    this.#parts = parts;
    this.#plugin = plugin;
    this.#named = named;
  }

  /** Faults: those of `verifyIdentity`, for a chain that is none. */
  static async make(parts: SealParts, { name, seal }: Pick<DesiredPlugin, "name" | "seal">): Promise<LaneSeal> {
    if (seal === undefined) return new LaneSeal(parts, name, undefined);
    const identityOf = ({ identifier, chain }: NamedIdentity) =>
      verifyIdentity(parts.suite, fromBase64url(chain) ?? new Uint8Array(), { now: "any time", expected: identifier });
    return new LaneSeal(parts, name, {
      solaris: await identityOf(seal.solaris),
      senders: await Promise.all(seal.senders.map(identityOf)),
      consumer: seal.consumer === null ? null : await identityOf(seal.consumer),
    });
  }

  get required(): boolean {
    return this.#named !== undefined;
  }

  /** Checks a message before its id is recorded; resolves with when it was signed. Faults: `not_sealed`, those of `openMessage`. */
  async take(message: DownMessage): Promise<number | undefined> {
    if (!this.required) return undefined; // its plugin may become sealed before it is delivered: judged then
    return (await this.#open(message)).signedAtMs;
  }

  /**
   * What the plugin is handed: of a message that `take` accepted, or that came before the plugin was what it is. Faults: `not_sealed`,
   * those of `openMessage`; `unavailable` for a sealed one while the plugin is not: the state that says so may be on its way.
   */
  async open(message: DownMessage): Promise<DownDelivery> {
    if (!isSealed(message) && !this.required) {
      const { id, replays, contentType, body } = message;
      return { id: replays ?? id, contentType, body: new Uint8Array(body) };
    }
    if (!this.required) throw new Fault("unavailable", "a sealed message, and this plugin is not sealed");
    // Its age was judged when it came; since then it may have waited here.
    const { id, replays, contentType, body } = await this.#open(message, Number.POSITIVE_INFINITY);
    return { id: replays ?? id, contentType, body };
  }

  /** Id for a message that goes up: of a sealed one it says nothing but that it is the same again. `key` is this lane's own. */
  async upId(id: string, key: () => Promise<string>): Promise<string> {
    if (!this.required) return id;
    return hex(await this.#parts.suite.sha256(utf8(`${await key()}\0${id}`))).slice(0, 32);
  }

  /**
   * A message as it leaves: data of a sealed plugin signed by this node now, sealed to the consumer. Faults: `revoked`, `unavailable`
   * while there is no consumer.
   */
  async up(message: UpMessage): Promise<UpMessage> {
    if (this.#named === undefined || message.kind !== "data") return message;
    const { suite, random, now, trust } = this.#parts;
    const { consumer } = this.#named;
    if (consumer === null) throw new Fault("unavailable", "there is no consumer to seal messages to");
    if (trust.isRevoked(consumer.identifier)) throw new Fault("revoked", "the consumer of this plugin was revoked");
    const lane = { agent: trust.enrollment.agentId, plugin: this.#plugin, direction: "up" } as const;
    const recipient = { identifier: consumer.identifier, ...recipientOf(consumer) };
    const seal = { sender: trust.keys, recipient, lane, now: now() };
    const body = await sealMessage(suite, random, seal, message);
    return { ...message, contentType: sealedContentType, body };
  }

  /** A replay by Solaris carries the message it replays as its sender sealed it. */
  async #open(message: DownMessage, ageMaxMs = sealedDownAgeMaxMs): Promise<OpenedMessage> {
    if (!isSealed(message)) throw new Fault("not_sealed");
    const outer = await this.#openBody(message.body, message.id, ageMaxMs);
    let inner = outer;
    for (let depth = 0; isSealed(inner); depth++) {
      if (inner.replays === undefined || inner.sender !== this.#named?.solaris.identifier || depth >= sealedReplaysMax)
        throw new Fault("statement_invalid", "a sealed message in a sealed message that is no replay");
      inner = await this.#openBody(inner.body, undefined, Number.POSITIVE_INFINITY);
      if ((inner.replays ?? inner.id) !== outer.replays)
        throw new Fault("statement_invalid", "a replay of another message than it says");
    }
    if (outer === inner) return outer;
    const { contentType, body } = inner;
    return { ...outer, body, ...(contentType === undefined ? {} : { contentType }) };
  }

  async #openBody(body: Uint8Array, id: string | undefined, ageMaxMs: number): Promise<OpenedMessage> {
    const { suite, trust, now } = this.#parts;
    const named = this.#named;
    if (named === undefined) throw new TypeError("opened without knowing whose");
    const keys = await trust.keysFor(readSealedBody(body).jwe);
    const opened = await openMessage(suite, body, {
      unseal: (jwe) => keys.unseal(jwe),
      senders: [named.solaris, ...named.senders],
      isRevoked: (identifier) => trust.isRevoked(identifier),
      recipient: keys.identity.identifier,
      lane: { agent: trust.enrollment.agentId, plugin: this.#plugin, direction: "down" },
      id,
      now: now(),
      ageMaxMs,
    });
    const sender = [named.solaris, ...named.senders].find(({ identifier }) => identifier === opened.sender);
    if (sender !== undefined) checkInDate(sender.last, now());
    return opened;
  }
}
