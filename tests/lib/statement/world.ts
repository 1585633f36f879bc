/** One authority, one agent and their keys, as every test of statements needs them. */
import { base64url, hex } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { createIdentity, extendIdentity, nodeKeys, type OwnIdentity } from "#lib/identity";
import { systemRandom } from "#lib/runtime";
import {
  type CheckpointClaims,
  type CommandClaims,
  type Credential,
  type DesiredClaims,
  type EnrollmentClaims,
  type MessageClaims,
  nodeSigner,
  numericDate,
  type RevocationClaims,
  type Signer,
  signCredential,
} from "#lib/statement";

export const suite = webSuite;
export const begin = 1_700_000_000_000;
export const day = 86_400_000;
export const now = begin + day;
export const iat = numericDate(now);

export interface Party extends OwnIdentity {
  readonly signer: Signer;
}

export async function party(own: OwnIdentity): Promise<Party> {
  return { ...own, signer: nodeSigner(await nodeKeys(suite, own.secrets, own.identity)) };
}

export async function newParty(at = begin): Promise<Party> {
  return await party(await createIdentity(suite, systemRandom, { now: at }));
}

export async function rotated(own: Party, at: number): Promise<Party> {
  return await party(await extendIdentity(suite, systemRandom, own, { now: at }));
}

export const authority = await newParty();
export const agent = await newParty();
export const stranger = await newParty();

export const credential = (over: Partial<Credential> = {}): Credential => ({
  sub: agent.identity.identifier,
  iss: authority.identity.identifier,
  iat,
  exp: iat + 3_600,
  jti: base64url(systemRandom(16)),
  cnf: agent.identity.last.hash,
  attrs: { role: "edge", customer_id: "c1", agent_id: "a1", tier: 2, beta: true, regions: ["eu", "us"] },
  revocations: 3,
  desired: 7,
  ...over,
});

export const desired = (over: Partial<DesiredClaims> = {}): DesiredClaims => ({
  sub: agent.identity.identifier,
  number: 7,
  iat,
  plugins: [{ name: "erp", config: { url: "http://erp", "10": [1, null] } }],
  portals: [],
  policies: [],
  limits: {},
  ...over,
});

export const command = (over: Partial<CommandClaims> = {}): CommandClaims => ({
  sub: agent.identity.identifier,
  id: "cmd-1",
  iat,
  exp: iat + 300,
  name: "check",
  arguments: { plugin: "erp" },
  ...over,
});

export const revocation = (over: Partial<RevocationClaims> = {}): RevocationClaims => ({
  number: 3,
  iat,
  revoked: [{ identifier: stranger.identity.identifier, at: iat, reason: "stolen" }],
  ...over,
});

export const checkpoint = (over: Partial<CheckpointClaims> = {}): CheckpointClaims => ({
  number: 12,
  hash: "ab".repeat(32),
  iat,
  ...over,
});

export const message = (over: Partial<MessageClaims> = {}): MessageClaims => ({
  iss: authority.identity.identifier,
  sub: agent.identity.identifier,
  agent: "a1",
  plugin: "erp",
  direction: "down",
  id: hex(systemRandom(16)),
  iat,
  meta: { contentType: "application/json" },
  body: systemRandom(40),
  ...over,
});

export const solarisKey = systemRandom(32);

export async function enrollment(over: Partial<EnrollmentClaims> = {}): Promise<EnrollmentClaims> {
  return {
    tokenId: "token-1",
    agentId: "a1",
    sub: agent.identity.identifier,
    solarisKey: base64url(solarisKey),
    credential: await signCredential(authority.signer, credential()),
    iat,
    authority: base64url(authority.chain),
    ...over,
  };
}
