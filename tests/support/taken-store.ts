import { readFileSync } from "node:fs";
import { webSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import type { VerifiedIdentity } from "#lib/identity";
import { type Link, openLink, relayHeaderBytes, subprotocol, writeRelayHeader } from "#lib/link";
import { silentLog } from "#lib/log";
import { systemClock, systemRandom } from "#lib/runtime";
import { authorizationBinding, headerKeys, makeAuthorization } from "#lib/statement";
import { connectWebSocket, RelayedWire } from "#lib/wire";
import { openStore, type Store } from "../../agent/store/open-store.ts";
import { CorrectedClock } from "../../agent/tunnel/corrected-clock.ts";
import { Trust } from "../../agent/tunnel/trust.ts";
import { FakeSession } from "./fake-agent-tunnel.ts";
import type { MercurySite } from "./mercury-site.ts";

const suite = webSuite;

/** What an opening shows before its handshake. */
export interface Upgrade {
  readonly url: string;
  readonly protocols: string[];
  readonly headers: { readonly authorization: string };
}

/**
 * An attacker who rules a site: its agent's own store and key, so that every check of who it is holds. The site's Mercury
 * must not run meanwhile; it can again after this was disposed.
 */
export class TakenStore implements AsyncDisposable {
  readonly #store: Store;
  readonly #trust: Trust;
  readonly #clock: CorrectedClock;

  private constructor(store: Store, trust: Trust, clock: CorrectedClock) {
    this.#store = store;
    this.#trust = trust;
    this.#clock = clock;
  }

  static async open({ data, keyFile }: MercurySite): Promise<TakenStore> {
    const encryptionKey = readFileSync(keyFile, "utf8").trim();
    const parts = { suite, random: systemRandom, clock: systemClock };
    const store = await openStore({ path: `${data}/mercury.db`, encryptionKey, ...parts });
    const clock = new CorrectedClock(systemClock);
    return new TakenStore(store, await Trust.load({ store, suite, clock, log: silentLog }), clock);
  }

  /** Who the agent is. */
  get identity(): VerifiedIdentity {
    return this.#trust.keys.identity;
  }

  /** Whom it takes orders from. */
  get authority(): VerifiedIdentity {
    return this.#trust.authority.identity;
  }

  /** A link to the site's Nexus, as far as the handshake; behind the header of another opening where one is given. */
  async link(upgrade?: Upgrade): Promise<Link> {
    const { keys, credential, enrollment, authority } = this.#trust;
    const { url, protocols, headers } = upgrade ?? (await this.upgrade());
    const { wire } = await connectWebSocket({ url, protocols, headers }, { clock: systemClock });
    return await openLink(wire, {
      suite,
      clock: this.#clock,
      random: systemRandom,
      terms: {
        purpose: "session",
        offered: protocols,
        chosen: subprotocol,
        initiator: keys.identity.identifier,
        responder: enrollment.gateway,
        binding: await authorizationBinding(suite, headers.authorization),
      },
      keys,
      credential: credential.jws,
      authority,
      refused: ({ code }) => new Fault("forbidden", code),
    });
  }

  /** A session that may send data. */
  async session(): Promise<FakeSession> {
    return await FakeSession.begin(await this.link(), (welcome) => this.#store.cloud.keepSlot(0, welcome));
  }

  /** A channel to another node over a session's relay, past whatever the site's own portals would open. Fault with the code of a refusal. */
  async channel({ control, link }: FakeSession, to: string): Promise<Link> {
    const { keys, credential, authority } = this.#trust;
    const binding = systemRandom(16);
    await control.send({ type: "relay-open", request: 1, to, offered: [subprotocol], binding });
    let answer = await control.next();
    while (answer.type !== "relay-opened" && answer.type !== "relay-refused") answer = await control.next();
    if (answer.type === "relay-refused") throw new Fault("forbidden", answer.code);
    const id = answer.relay;
    const wire = new RelayedWire({
      headerBytes: relayHeaderBytes,
      send(message) {
        writeRelayHeader(message, id);
        link.sendRelay(message);
      },
      queuedBytes: () => link.relayQueuedBytes(id),
      close: () => undefined,
    });
    link.onRelay((message) => wire.took(message.subarray(relayHeaderBytes)));
    void link.closed.then((fault) => wire.lost(fault));
    const initiator = keys.identity.identifier;
    return await openLink(wire, {
      suite,
      clock: this.#clock,
      random: systemRandom,
      terms: { purpose: "e2e", offered: [subprotocol], chosen: subprotocol, initiator, responder: to, binding },
      keys,
      credential: credential.jws,
      authority,
    });
  }

  /** What a WebSocket of this agent's must show to be let in, once. */
  async upgrade(): Promise<Upgrade> {
    const { keys, enrollment } = this.#trust;
    const { identity } = keys;
    const { solarisPublic, gateway } = enrollment;
    const macs = await headerKeys(suite, await keys.agree(solarisPublic), identity.last.x25519, solarisPublic);
    const authorization = await makeAuthorization(suite, systemRandom, macs, {
      kid: identity.last.hash,
      sub: identity.identifier,
      aud: gateway,
      slot: 0,
      continuity: (await this.#store.cloud.slot(0))?.continuity ?? null,
      now: this.#clock.now(),
    });
    return { url: `${gateway.replace(/^http/, "ws")}/tunnel`, protocols: [subprotocol], headers: { authorization } };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store[Symbol.asyncDispose]();
  }
}
