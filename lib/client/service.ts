import { z } from "zod";
import { type Bytes, decodeCbor, encodeCbor, fromBase64url, fromUtf8 } from "#lib/bytes";
import type { Clock, Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { createIdentity, decodeSecrets, encodeSecrets, type NodeKeys, nodeKeys, verifyIdentity } from "#lib/identity";
import { authorityAnswerSchema, enrollAnswerSchema, nameSchema } from "#lib/session";
import {
  decodeEnrollmentToken,
  type HostFacts,
  makeEnrollmentRequest,
  verifyEnrollment,
  verifyTokenAuthority,
} from "#lib/statement";
import { ask, type Fetch } from "./ask.ts";

/** What an application gives its identity. */
export interface ServiceParts {
  readonly suite: CryptoSuite;
  readonly random: Random;
  readonly clock: Pick<Clock, "now">;
  readonly fetch: Fetch;
}

/** An enrolled agent with the role `service`. */
export interface Service {
  readonly agentId: string;
  readonly customerId: string;
  readonly keys: NodeKeys;
}

const bytes = z.instanceof(Uint8Array);
const storedSchema = z.strictObject({
  version: z.literal(1),
  secrets: bytes,
  chain: bytes,
  /** Null before the enrollment was answered. */
  enrolled: z.strictObject({ agentId: nameSchema, customerId: nameSchema }).nullable(),
});
type Stored = z.infer<typeof storedSchema>;

/** A new identity, to be stored where secrets are, before its enrollment: a lost answer is asked for again with it. */
export async function createServiceIdentity({ suite, random, clock }: Omit<ServiceParts, "fetch">): Promise<Bytes> {
  const { secrets, chain } = await createIdentity(suite, random, { now: clock.now() });
  return encodeStored({ version: 1, secrets: encodeSecrets(secrets), chain, enrolled: null });
}

/**
 * Redeems an agent's token for a stored identity (PROTOCOL §4); resolves with what is to be stored in its place. Faults: those of
 * the token, `config` for a gateway without TLS that is not this machine, `unavailable`, and what Solaris refused.
 */
export async function enrollService(
  { suite, random, clock, fetch }: ServiceParts,
  tokenText: string,
  stored: Uint8Array,
  host: HostFacts,
): Promise<Bytes> {
  const token = await decodeEnrollmentToken(suite, tokenText);
  const gateway = secureOrigin(token.gateway);
  const held = decodeStored(stored);
  const keys = await keysOf(suite, held);
  const shown = await ask(fetch, `${gateway}/enroll`, {}, authorityAnswerSchema);
  const chain = fromBase64url(shown.authority);
  if (chain === undefined) throw new Fault("malformed", "the gateway shows no authority");
  const authority = await verifyTokenAuthority(suite, token, chain, clock.now());
  const request = await makeEnrollmentRequest(suite, random, { token, authority, keys, host });
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ request }) };
  const { answer } = await ask(fetch, `${gateway}/enroll`, init, enrollAnswerSchema);
  const expected = { authority, tokenId: token.tokenId, subject: keys.identity, now: clock.now() };
  const { agentId, credential } = await verifyEnrollment(suite, fromUtf8(await keys.unseal(answer)), expected);
  const { role, customer_id: customerId } = credential.attrs;
  if (role !== "service" || typeof customerId !== "string")
    throw new Fault("credential_invalid", "this token is not that of a service");
  return encodeStored({ ...held, enrolled: { agentId, customerId } });
}

/** The service that `enrollService` gave to be stored. Fault `not_found` before the enrollment, `malformed`. */
export async function openService(suite: CryptoSuite, stored: Uint8Array): Promise<Service> {
  const held = decodeStored(stored);
  if (held.enrolled === null) throw new Fault("not_found", "this service is not enrolled");
  return { ...held.enrolled, keys: await keysOf(suite, held) };
}

async function keysOf(suite: CryptoSuite, { secrets, chain }: Stored): Promise<NodeKeys> {
  return nodeKeys(suite, decodeSecrets(secrets), await verifyIdentity(suite, chain, { now: "any time" }));
}

function encodeStored({ enrolled, ...rest }: Stored): Bytes {
  return encodeCbor({ ...rest, enrolled: enrolled === null ? null : { ...enrolled } });
}

function decodeStored(stored: Uint8Array): Stored {
  try {
    return storedSchema.parse(decodeCbor(stored));
  } catch {
    throw new Fault("malformed", "not what a service has stored"); // without a cause, which could show what it met
  }
}

function secureOrigin(address: string): string {
  const url = URL.parse(address);
  const here = url?.hostname === "127.0.0.1" || url?.hostname === "[::1]" || url?.hostname === "localhost";
  if (url === null || (url.protocol !== "https:" && !here)) throw new Fault("config", "the gateway has no TLS");
  return url.origin;
}
