import { type Bytes, base64url, fromBase64url, hex } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault, type FaultCode } from "#lib/fault";
import { createIdentity, type NodeKeys, nodeKeys, verifyIdentity } from "#lib/identity";
import { systemClock, systemRandom } from "#lib/runtime";
import type { AuthorizeAnswer, Digest, OutletAnswer, UpWatermark } from "#lib/session";
import {
  checkAuthorizationTime,
  type HeaderKeys,
  headerKeys,
  makeAnswer,
  nodeSigner,
  numericDate,
  type Role,
  readAuthorizationUnverified,
  signCredential,
  signRevocation,
  verifyAuthorizationMac,
} from "#lib/statement";

/** An agent that the fake knows, with what a real one would hold. */
export interface FakeAgent {
  readonly agentId: string;
  readonly customerId: string;
  readonly keys: NodeKeys;
  readonly headerKeys: HeaderKeys;
  credential: string;
  epoch: number;
  continuity: Bytes;
  /** Number of the desired state that its credentials name. Default 0: none. */
  desired?: number;
  /** Set = openings and refreshes are refused with this. */
  refuse?: FaultCode;
  /** Refuses refreshes that bring another identity change. */
  refuseChanges?: boolean;
  lanes: UpWatermark[];
}

/** What a credential of the fake says, where a test wants another than a good one. */
export interface CredentialTwist {
  readonly attrs?: Readonly<Record<string, string>>;
  readonly lifeMs?: number;
  readonly revocations?: number;
  readonly desired?: number;
}

/**
 * Solaris' side of `/nexus/v1` in memory: real identities, statements and MACs, no database. For tests of Nexus alone
 * and for loads where Solaris is not what is measured.
 */
export class FakeSolaris {
  readonly agents = new Map<string, FakeAgent>();
  readonly digests: Digest[] = [];
  readonly calls = new Map<string, number>();
  origins = ["http://gateway.test"];
  customerId: string | null = null;
  gatewayKey = "nexus_test";
  /** Answers nothing while true. */
  down = false;
  /** Named in the answer to every digest. */
  ending: { agentId: string; code: string }[] = [];
  /** Pairs of agents that a portal joins, as `a b` in both orders; null = any two of one customer. */
  joined: ReadonlySet<string> | null = null;
  /** Portals of mode `terminated`, by id; each for agents of its customer. */
  readonly outlets = new Map<string, OutletAnswer>();
  /** Can't say about them while true. */
  outletAway = false;
  number = 1;
  revoked: string[] = [];
  readonly #suite: CryptoSuite;
  readonly #authority: NodeKeys;
  readonly #used = new Set<string>();

  private constructor(suite: CryptoSuite, authority: NodeKeys) {
    this.#suite = suite;
    this.#authority = authority;
  }

  static async create(suite: CryptoSuite): Promise<FakeSolaris> {
    const own = await createIdentity(suite, systemRandom, { now: systemClock.now() });
    return new FakeSolaris(suite, await nodeKeys(suite, own.secrets, own.identity));
  }

  get authority(): NodeKeys {
    return this.#authority;
  }

  async addAgent(agentId: string, customerId = "cus_a"): Promise<FakeAgent> {
    const own = await createIdentity(this.#suite, systemRandom, { now: systemClock.now() });
    const keys = await nodeKeys(this.#suite, own.secrets, own.identity);
    const solarisKey = await this.#suite.agreementKey(systemRandom(32));
    const shared = await keys.agree(solarisKey.publicKey);
    const agent: FakeAgent = {
      agentId,
      customerId,
      keys,
      headerKeys: await headerKeys(this.#suite, shared, keys.agreementKey.publicKey, solarisKey.publicKey),
      credential: "",
      epoch: 0,
      continuity: systemRandom(16),
      lanes: [],
    };
    agent.credential = await this.agentCredential(agent);
    this.agents.set(keys.identity.identifier, agent);
    return agent;
  }

  agentCredential({ agentId, customerId, keys, desired = 0 }: FakeAgent, twist: CredentialTwist = {}): Promise<string> {
    return this.credential(keys, "edge", {
      desired,
      ...twist,
      attrs: { agent_id: agentId, customer_id: customerId, ...twist.attrs },
    });
  }

  credential(keys: Pick<NodeKeys, "identity">, role: Role, twist: CredentialTwist = {}): Promise<string> {
    const iat = numericDate(systemClock.now());
    return signCredential(nodeSigner(this.#authority), {
      sub: keys.identity.identifier,
      iss: this.#authority.identity.identifier,
      iat,
      exp: iat + Math.floor((twist.lifeMs ?? 3_600_000) / 1_000),
      jti: hex(systemRandom(16)),
      cnf: keys.identity.last.hash,
      attrs: { role, ...twist.attrs },
      revocations: twist.revocations ?? this.number,
      desired: twist.desired ?? 0,
    });
  }

  /** The newest list, as it stands in the broker and in `GET /nexus/v1/revocations`. */
  async revocations() {
    const now = numericDate(systemClock.now());
    const revoked = this.revoked.map((identifier) => ({ identifier, at: now }));
    const statement = await signRevocation(nodeSigner(this.#authority), { number: this.number, iat: now, revoked });
    return { number: this.number, statement, authority: base64url(this.#authority.identity.chain) };
  }

  /** Revokes an identity: a new list. */
  revoke(identifier: string): void {
    this.number += 1;
    this.revoked.push(identifier);
  }

  /** What Nexus takes for `fetch`. */
  readonly fetch = async (request: Request): Promise<Response> => {
    if (this.down) throw new TypeError("connection refused");
    const path = new URL(request.url).pathname.replace("/nexus/v1/", "");
    this.calls.set(path, (this.calls.get(path) ?? 0) + 1);
    if (request.headers.get("authorization") !== `Bearer ${this.gatewayKey}`)
      return problem(new Fault("unauthenticated"));
    const body = request.method === "POST" ? await request.json() : undefined;
    try {
      return await this.#answer(path, body);
    } catch (error) {
      if (error instanceof Fault) return problem(error);
      throw error;
    }
  };

  // biome-ignore lint/suspicious/noExplicitAny: a fake takes what its only caller, whose own schema was checked, sends
  async #answer(path: string, body: any): Promise<Response> {
    switch (path) {
      case "start": {
        const identity = await verifyIdentity(this.#suite, bytes(body.chain), { now: systemClock.now() });
        const { statement, authority } = await this.revocations();
        const credential = await this.credential({ identity }, "nexus", { attrs: { gateway_id: "gtw_1" } });
        const { origins, customerId } = this;
        return Response.json({
          gatewayId: "gtw_1",
          customerId,
          origins,
          credential,
          authority,
          revocations: statement,
        });
      }
      case "authorize":
        return Response.json(await this.#authorize(body.authorization));
      case "ready": {
        const agent = this.#agent(body.agentId);
        if (body.epoch < agent.epoch) throw new Fault("displaced");
        return new Response(null, { status: 204 });
      }
      case "refresh": {
        const agent = this.#agent(body.agentId);
        if (agent.refuse !== undefined) throw new Fault(agent.refuse);
        if (agent.refuseChanges === true && body.chain !== undefined) throw new Fault("identity_invalid");
        const { statement, authority } = await this.revocations();
        return Response.json({ credential: await this.agentCredential(agent), authority, revocations: statement });
      }
      case "relay": {
        const from = this.#agent(body.agentId);
        const to = this.agents.get(body.to);
        if (to === undefined || to.customerId !== from.customerId) throw new Fault("not_found");
        if (this.joined !== null && !this.joined.has(`${from.agentId} ${to.agentId}`)) throw new Fault("forbidden");
        return Response.json({ agentId: to.agentId, customerId: to.customerId });
      }
      case "outlet": {
        const outlet = this.outlets.get(body.portal);
        if (this.outletAway) throw new Fault("unavailable");
        if (outlet === undefined) throw new Fault("not_found");
        return Response.json(outlet);
      }
      case "revocations":
        return Response.json(await this.revocations());
      case "authority":
        return Response.json({ authority: base64url(this.#authority.identity.chain) });
      case "enroll":
        if (body.request === "bad") throw new Fault("token_invalid");
        return Response.json({ answer: `sealed for ${body.address}` });
      case "digest":
        this.digests.push(body);
        return Response.json({ end: this.ending });
      default:
        throw new Fault("not_found");
    }
  }

  async #authorize(header: string): Promise<AuthorizeAnswer> {
    const authorization = readAuthorizationUnverified(header);
    const { sub, jti, slot } = authorization.claims;
    const agent = this.agents.get(sub);
    if (agent === undefined) return { decision: "deny", unknown: true };
    try {
      await verifyAuthorizationMac(this.#suite, agent.headerKeys, authorization);
    } catch {
      return { decision: "deny", unknown: false }; // whatever was wrong with it
    }
    try {
      checkAuthorizationTime(authorization.claims, systemClock.now());
      if (this.#used.has(jti)) throw new Fault("authorization_replayed");
      this.#used.add(jti);
      if (this.revoked.includes(sub)) throw new Fault("revoked");
      if (agent.refuse !== undefined) throw new Fault(agent.refuse);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      const told = { code: error.code, jti, timeMs: systemClock.now(), retryAfterMs: null };
      const answer = base64url(await makeAnswer(this.#suite, agent.headerKeys, told));
      return { decision: "refuse", code: error.code, answer };
    }
    agent.epoch += 1;
    const { agentId, customerId, epoch, continuity, lanes } = agent;
    return {
      decision: "accept",
      agentId,
      customerId,
      identifier: sub,
      slot,
      epoch,
      continuity: base64url(continuity),
      serverTime: systemClock.now(),
      lanes,
      desired: 0,
      revocations: this.number,
    };
  }

  #agent(agentId: string): FakeAgent {
    for (const agent of this.agents.values()) if (agent.agentId === agentId) return agent;
    throw new Fault("not_found");
  }
}

function problem({ code, entry }: Fault): Response {
  return Response.json({ code }, { status: entry.status });
}

function bytes(text: string): Bytes {
  return fromBase64url(text) ?? new Uint8Array(0);
}
