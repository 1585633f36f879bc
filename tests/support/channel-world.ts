import { type Bytes, hex } from "#lib/bytes";
import type { ChannelOptions, ChannelTerms } from "#lib/channel";
import { subprotocol } from "#lib/channel";
import type { Clock } from "#lib/clock";
import { webSuite } from "#lib/crypto";
import { createIdentity, extendIdentity, type NodeKeys, nodeKeys, type OwnIdentity } from "#lib/identity";
import { type Attributes, createAuthorityView, nodeSigner, numericDate, signCredential } from "#lib/statement";

/** Random bytes from the runtime. */
export function random(lengthBytes: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(lengthBytes));
}

/** A node of the test: identity, keys, credential. */
export interface TestNode {
  readonly own: OwnIdentity;
  readonly keys: NodeKeys;
  readonly credential: string;
}

/** What may be asked of a credential that is not like others. */
export interface CredentialWishes {
  readonly attrs?: Attributes;
  readonly lifeMs?: number;
  readonly revocations?: number;
}

/** An authority and the nodes it vouches for. */
export class ChannelWorld {
  readonly clock: Clock;
  readonly #authority: OwnIdentity;
  readonly #signer: NodeKeys;

  private constructor(clock: Clock, authority: OwnIdentity, signer: NodeKeys) {
    this.clock = clock;
    this.#authority = authority;
    this.#signer = signer;
  }

  static async create(clock: Clock): Promise<ChannelWorld> {
    const authority = await createIdentity(webSuite, random, { now: clock.now() });
    return new ChannelWorld(clock, authority, await nodeKeys(webSuite, authority.secrets, authority.identity));
  }

  /** The same world under the next key of its authority. */
  async rotated(): Promise<ChannelWorld> {
    const authority = await extendIdentity(webSuite, random, this.#authority, { now: this.clock.now() });
    const signer = await nodeKeys(webSuite, authority.secrets, authority.identity);
    return new ChannelWorld(this.clock, authority, signer);
  }

  get authorityChain(): Bytes {
    return this.#authority.chain;
  }

  async node(role: "edge" | "nexus" | "gateway" | "service", wishes: CredentialWishes = {}): Promise<TestNode> {
    return this.nodeOf(await createIdentity(webSuite, random, { now: this.clock.now() }), role, wishes);
  }

  async nodeOf(own: OwnIdentity, role: string, wishes: CredentialWishes = {}): Promise<TestNode> {
    const keys = await nodeKeys(webSuite, own.secrets, own.identity);
    return { own, keys, credential: await this.credential(own, role, wishes) };
  }

  /** A credential for the last change of `own`. */
  credential(own: OwnIdentity, role: string, wishes: CredentialWishes = {}): Promise<string> {
    const now = this.clock.now();
    return signCredential(nodeSigner(this.#signer), {
      sub: own.identity.identifier,
      iss: this.#authority.identity.identifier,
      iat: numericDate(now),
      exp: numericDate(now + (wishes.lifeMs ?? 3_600_000)),
      jti: hex(random(16)),
      cnf: own.identity.last.hash,
      attrs: { role, ...(role === "nexus" ? {} : { customer_id: "acme" }), ...wishes.attrs },
      revocations: wishes.revocations ?? 0,
      desired: 0,
    });
  }

  /** What `node` brings to a channel with these terms. */
  options(node: TestNode, terms: ChannelTerms): ChannelOptions {
    const { keys, credential } = node;
    const authority = createAuthorityView(webSuite, this.#authority.identity);
    return { suite: webSuite, clock: this.clock, random, terms, keys, credential, authority };
  }
}

/** Terms of a session that `initiator` opens at a gateway. */
export function sessionTerms(initiator: TestNode, binding: Bytes = new Uint8Array(32).fill(7)): ChannelTerms {
  return {
    purpose: "session",
    offered: [subprotocol],
    chosen: subprotocol,
    initiator: initiator.own.identity.identifier,
    responder: "https://nexus.test",
    binding,
  };
}

/** Terms of an end-to-end channel between two nodes. */
export function e2eTerms(initiator: TestNode, responder: TestNode, binding = random(16)): ChannelTerms {
  return {
    purpose: "e2e",
    offered: [subprotocol],
    chosen: subprotocol,
    initiator: initiator.own.identity.identifier,
    responder: responder.own.identity.identifier,
    binding,
  };
}
