import { hex, utf8 } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { silentLog } from "#lib/log";
import { systemClock, systemRandom } from "#lib/runtime";
import { encodeEntry } from "#lib/session";
import { headerKeys } from "#lib/statement";
import { AgentStores } from "#support/agent-store";
import { type FakeAgent, FakeSolaris } from "#support/fake-solaris";
import { type OwnBroker, ownBroker, startNexus, type TestNexus } from "#support/gateway-harness";
import { unsealed } from "#support/unsealed";
import { makeNetwork } from "../../../agent/network/network.ts";
import type { Lane } from "../../../agent/store/lane-store.ts";
import type { Store } from "../../../agent/store/open-store.ts";
import { CorrectedClock } from "../../../agent/tunnel/corrected-clock.ts";
import { type ConnectWire, connectBy, openTunnel } from "../../../agent/tunnel/open-tunnel.ts";
import { Trust } from "../../../agent/tunnel/trust.ts";
import { Tunnel, type TunnelParts } from "../../../agent/tunnel/tunnel.ts";

/** What agents take their gateway for, wherever it listens. */
const origin = "http://gateway.test";

/** A Nexus with its broker, a Solaris that is none, and an agent's tunnel with its store. */
export class AgentWorld implements AsyncDisposable {
  readonly solaris: FakeSolaris;
  readonly #broker: OwnBroker;
  readonly #stores = new AgentStores();
  readonly #tunnels: Tunnel[] = [];
  #nexus: TestNexus;
  lanes: Lane[] = [];
  readonly taken: string[] = [];
  readonly warnings: string[] = [];
  healths = 0;

  private constructor(solaris: FakeSolaris, broker: OwnBroker, nexus: TestNexus) {
    this.solaris = solaris;
    this.#broker = broker;
    this.#nexus = nexus;
  }

  static async create(): Promise<AgentWorld> {
    const solaris = await FakeSolaris.create(webSuite);
    const broker = await ownBroker();
    return new AgentWorld(solaris, broker, await startNexus({ solaris, broker: broker.broker }));
  }

  get broker() {
    return this.#broker.broker;
  }

  get nexus(): TestNexus {
    return this.#nexus;
  }

  /** Another replica behind the same origin; new tunnels reach it. Answers the one before, which still runs. */
  async anotherNexus(): Promise<TestNexus> {
    const former = this.#nexus;
    this.#nexus = await startNexus({ solaris: this.solaris, broker: this.broker });
    return former;
  }

  /** A store that holds an answered enrollment of this agent. */
  async enrolled(agentId = "agent-1", lifeMs = 3_600_000): Promise<{ store: Store; agent: FakeAgent; path: string }> {
    const path = await this.#stores.path();
    const store = await this.#stores.open(path, systemClock);
    const keys = await store.identity.ensure();
    const solarisKey = await webSuite.agreementKey(systemRandom(32));
    const macs = await headerKeys(
      webSuite,
      await keys.agree(solarisKey.publicKey),
      keys.agreementKey.publicKey,
      solarisKey.publicKey,
    );
    const agent: FakeAgent = {
      agentId,
      customerId: "cus_a",
      keys,
      headerKeys: macs,
      credential: "",
      epoch: 0,
      continuity: systemRandom(16),
      lanes: [],
    };
    agent.credential = await this.solaris.agentCredential(agent, { lifeMs });
    this.solaris.agents.set(keys.identity.identifier, agent);
    const authority = this.solaris.authority.identity;
    await store.cloud.beginEnrollment({ gateway: origin, authority: authority.identifier, token: "mercury_x" });
    await store.cloud.enrolled({
      agentId,
      solarisPublic: solarisKey.publicKey,
      credential: agent.credential,
      authority: authority.chain,
      authorityIat: 0,
      now: systemClock.now(),
    });
    return { store, agent, path };
  }

  reopen(path: string): Promise<Store> {
    return this.#stores.open(path, systemClock);
  }

  async tunnel(
    store: Store,
    more: Partial<TunnelParts> = {},
  ): Promise<{ tunnel: Tunnel; trust: Trust; clock: CorrectedClock }> {
    const clock = more.clock ?? new CorrectedClock(systemClock);
    const trust = await Trust.load({ store, suite: webSuite, clock, log: silentLog });
    const direct = makeNetwork({ proxies: { https: undefined, http: undefined, none: undefined }, authorities: [] });
    const byNetwork = connectBy(direct, clock);
    const connect: ConnectWire = (_, header, signal) => byNetwork(this.#nexus.url, header, signal);
    const opening = { store, suite: webSuite, random: systemRandom, clock, log: silentLog, trust, connect };
    const tunnel = new Tunnel({
      store,
      clock,
      random: systemRandom,
      log: silentLog,
      trust,
      host: { version: "1", platform: "test", hostname: "site" },
      downLanes: () => this.lanes,
      sealOf: ({ name }) => unsealed(name),
      waiting: () => undefined,
      health: async () => {
        this.healths++;
        return { desired: 0, plugins: [] };
      },
      desired: async (sealed) => {
        this.taken.push(sealed);
        return 0;
      },
      command: async (sealed) => void this.taken.push(sealed),
      relayOffered: (offer, relays) => relays.refuse(offer, "identity_unexpected"),
      warn: (code, text) => this.warnings.push(`${code}: ${text}`),
      openLink: (slot, signal) => openTunnel({ ...opening, gateway: origin }, slot, signal),
      ...more,
    });
    this.#tunnels.push(tunnel);
    tunnel.start();
    return { tunnel, trust, clock };
  }

  /** An entry of one message in a down lane's broker queue. */
  async push(plugin: string, text: string, agentId = "agent-1"): Promise<void> {
    const body = encodeEntry({
      v: 1,
      agent: agentId,
      plugin,
      messages: [{ id: hex(systemRandom(16)), time: systemClock.now(), body: utf8(text) }],
    });
    await this.broker.publish({ kind: "down", agent: agentId, plugin }, body, hex(systemRandom(16)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const tunnel of this.#tunnels) await tunnel[Symbol.asyncDispose]();
    await this.#nexus[Symbol.asyncDispose]();
    await this.#broker[Symbol.asyncDispose]();
    await this.#stores[Symbol.asyncDispose]();
  }
}
