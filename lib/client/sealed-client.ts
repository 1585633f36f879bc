import { z } from "zod";
import { type Bytes, fromBase64url, hex, utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { recipientOf, type VerifiedIdentity, verifyIdentity } from "#lib/identity";
import { formerSignerMs, sealedUpAgeMaxMs } from "#lib/limits";
import { identifierSchema, idSchema, messageIdOfKey } from "#lib/session";
import { type OpenedMessage, openMessage, sealedContentType, sealMessage } from "#lib/statement";
import { ask } from "./ask.ts";
import type { Service, ServiceParts } from "./service.ts";

/** What a client works with. */
export interface ClientParts extends ServiceParts {
  /** Origin of Solaris' API, with TLS. */
  readonly origin: string;
  /** API key with `messages:write` to push, `messages:read` to read, `agents:read` for both. */
  readonly key: string;
  readonly service: Service;
}

/** A message that is signed and sealed. It may be stored and pushed again: the same one is taken once. */
export interface SealedPush {
  readonly agentId: string;
  readonly plugin: string;
  readonly id: string;
  readonly idempotencyKey: string;
  readonly body: Bytes;
}

/** What became of a push. */
export interface Pushed {
  readonly id: string;
  readonly state: "queued" | "stored" | "applied" | "unknown" | "dead";
  readonly repeated: boolean;
}

/** A message as `/received` shows it to the consumer that it is sealed to. */
export interface ReceivedSealed {
  readonly agentId: string;
  readonly plugin: string;
  readonly id: string;
  /** When Solaris stored it, ms since 1970. */
  readonly receivedAt: number;
  /** The JWE. */
  readonly body?: string | undefined;
}

const identitySchema = z.object({ identifier: identifierSchema, chain: z.string() });
const pushedSchema = z.object({
  id: idSchema,
  state: z.enum(["queued", "stored", "applied", "unknown", "dead"]),
  repeated: z.boolean(),
});

/**
 * Sends and reads sealed messages as a service: what leaves here is ciphertext to the site, signed, and Solaris sees no more of it than
 * the broker. Whose chain belongs to which agent is Solaris' word; `expect` pins it.
 */
export class SealedClient {
  readonly #parts: ClientParts;
  readonly #expected = new Map<string, string>();

  constructor(parts: ClientParts) {
    this.#parts = parts;
  }

  /** From now on this agent must be this identifier: `identity_unexpected` else. */
  expect(agentId: string, identifier: string): void {
    this.#expected.set(agentId, identifier);
  }

  /** Signs a message and seals it to the node of now. `idempotencyKey`: default random. Faults: `too_large`, those of the API. */
  async seal(
    to: { readonly agentId: string; readonly plugin: string },
    message: { readonly contentType?: string; readonly body: Uint8Array; readonly idempotencyKey?: string },
  ): Promise<SealedPush> {
    const { suite, random, clock, service } = this.#parts;
    const { agentId, plugin } = to;
    const node = await this.#identity(agentId);
    const { idempotencyKey = hex(random(16)), contentType, body } = message;
    const id = await messageIdOfKey(suite, { customerId: service.customerId, agentId, plugin }, idempotencyKey);
    const recipient = { identifier: node.identifier, ...recipientOf(node) };
    const lane = { agent: agentId, plugin, direction: "down" } as const;
    const seal = { sender: service.keys, recipient, lane, now: clock.now() };
    const content = { id, body, ...(contentType === undefined ? {} : { contentType }) };
    return { agentId, plugin, id, idempotencyKey, body: await sealMessage(suite, random, seal, content) };
  }

  /** Pushes what `seal` made; `waitS` = seconds to wait for its outcome. Again gives the same message. Faults: those of the API. */
  push(
    { agentId, plugin, idempotencyKey, body }: SealedPush,
    { waitS = 0 }: { readonly waitS?: number } = {},
  ): Promise<Pushed> {
    const headers = {
      "content-type": sealedContentType,
      "idempotency-key": idempotencyKey,
      ...(waitS > 0 ? { prefer: `wait=${waitS}` } : {}),
    };
    const path = `/agents/${encodeURIComponent(agentId)}/plugins/${encodeURIComponent(plugin)}/messages`;
    return this.#ask(path, { method: "POST", headers, body }, pushedSchema);
  }

  /**
   * A received message, opened: the node's own, for this lane and id, signed when it was sent. Faults: those of `openMessage`;
   * `statement_stale` when a key has signed it that the node had given up.
   */
  async open({ agentId, plugin, id, receivedAt, body = "" }: ReceivedSealed): Promise<OpenedMessage> {
    const { suite, service } = this.#parts;
    const node = asOf(await this.#identity(agentId), receivedAt);
    return openMessage(suite, utf8(body), {
      unseal: (jwe) => service.keys.unseal(jwe),
      senders: [node],
      isRevoked: () => false, // Solaris shows no identity that is revoked
      recipient: service.keys.identity.identifier,
      lane: { agent: agentId, plugin, direction: "up" },
      id,
      now: receivedAt,
      ageMaxMs: sealedUpAgeMaxMs,
      formerMs: formerSignerMs,
    });
  }

  async #identity(agentId: string): Promise<VerifiedIdentity> {
    const { suite, clock } = this.#parts;
    const shown = await this.#ask(`/agents/${encodeURIComponent(agentId)}/identity`, {}, identitySchema);
    const expected = this.#expected.get(agentId) ?? shown.identifier;
    const identity = await verifyIdentity(suite, fromBase64url(shown.chain) ?? new Uint8Array(), {
      now: clock.now(),
      expected,
    });
    this.#expected.set(agentId, identity.identifier);
    return identity;
  }

  #ask<T>(path: string, init: RequestInit & { headers?: Record<string, string> }, schema: z.ZodType<T>): Promise<T> {
    const { fetch, origin, key } = this.#parts;
    const headers = { authorization: `Bearer ${key}`, ...init.headers };
    return ask(fetch, `${origin}/api/v1${path}`, { ...init, headers }, schema);
  }
}

/** An identity as it was at a time: changes made later say nothing of what was signed and taken before. */
function asOf(identity: VerifiedIdentity, timeMs: number): VerifiedIdentity {
  const changes = identity.changes.filter(({ createdMs }) => createdMs <= timeMs);
  const last = changes.at(-1);
  if (last === undefined) throw new Fault("identity_invalid", "received before its sender was");
  return { ...identity, changes, last };
}
