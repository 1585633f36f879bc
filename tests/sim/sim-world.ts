import type { Bytes } from "#lib/bytes";
import { createIdentity, type NodeKeys, nodeKeys, type OwnIdentity } from "#lib/identity";
import { type Credential, nodeSigner, numericDate, type Role, signCredential, verifyCredential } from "#lib/statement";
import { seededRandom } from "../promises/seed.ts";
import { timedSuite } from "./sim-suite.ts";
import { simStartMs } from "./sim-time.ts";

/** Who a program is, in every run the same. */
export interface Persona {
  readonly own: OwnIdentity;
  readonly credential: string;
  readonly claims: Credential;
}

/** The authority, two nodes of one customer and a Nexus. */
export interface SimWorld {
  readonly authority: NodeKeys;
  readonly nodes: readonly [Persona, Persona];
  readonly nexus: Persona;
}

/** Makes it once for any number of runs: keys from fixed bytes, credentials for a day from the start of a run. */
export async function simWorld(): Promise<SimWorld> {
  const suite = timedSuite((act) => act());
  const chance = seededRandom(1);
  const random = (length: number): Bytes => Uint8Array.from({ length }, () => chance.integer(0, 255));
  const time = { now: simStartMs - 60_000 };
  const root = await createIdentity(suite, random, time);
  const authority = await nodeKeys(suite, root.secrets, root.identity);
  const persona = async (role: Role): Promise<Persona> => {
    const own = await createIdentity(suite, random, time);
    const credential = await signCredential(nodeSigner(authority), {
      sub: own.identity.identifier,
      iss: authority.identity.identifier,
      iat: numericDate(time.now),
      exp: numericDate(simStartMs + 86_400_000),
      jti: "00".repeat(16),
      cnf: own.identity.last.hash,
      attrs: { role, ...(role === "nexus" ? {} : { customer_id: "acme" }) },
      revocations: 0,
      desired: 0,
    });
    const verified = { authority: authority.identity, subject: own.identity, now: simStartMs };
    return { own, credential, claims: await verifyCredential(suite, credential, verified) };
  };
  return { authority, nodes: [await persona("edge"), await persona("gateway")], nexus: await persona("nexus") };
}
