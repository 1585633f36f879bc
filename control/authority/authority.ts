import type { Clock } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { beginIdentity, type ChangeKeys, type VerifiedIdentity, verifyIdentity } from "#lib/identity";
import { type Kms, kmsSigner } from "#lib/kms";
import type { Signer } from "#lib/statement";
import { type Db, isDuplicate } from "../db/index.ts";
import { type AuthorityRow, insertChain, newestChain } from "./repo.ts";
import { authorityChains } from "./tables.ts";

const authorityLifeMs = 10 * 365 * 86_400_000;

/** Solaris' own identity: the root of trust. Its keys stay in KMS. */
export interface Authority {
  readonly identity: VerifiedIdentity;
  readonly signer: Signer;
  /** What was sealed to the authority's last X25519 key. */
  unseal(jwe: string): Promise<Uint8Array<ArrayBuffer>>;
}

export interface AuthorityDeps {
  readonly db: Db;
  readonly kms: Pick<Kms, "ensureKey" | "sign" | "unseal">;
  readonly suite: CryptoSuite;
  readonly clock: Clock;
}

/** The authority of this installation, made at the first start. Several replicas may start at once: one chain counts. */
export async function openAuthority(deps: AuthorityDeps): Promise<Authority> {
  const row = (await newestChain(deps.db)) ?? (await begin(deps));
  const identity = await verifyIdentity(deps.suite, row.chain, { now: "any time", expected: row.identifier });
  return {
    identity,
    signer: kmsSigner(deps.kms, row.signKey, identity.last.hash),
    unseal: (jwe) => deps.kms.unseal(row.agreeKey, jwe),
  };
}

/** The chain in the database, unverified: for commands beside the server. Fault `not_found` before the first start. */
export async function storedAuthority(db: Db): Promise<Pick<AuthorityRow, "identifier" | "chain">> {
  const row = await newestChain(db);
  if (row === undefined) throw new Fault("not_found", "there is no authority yet: start Solaris once");
  return row;
}

async function begin(deps: AuthorityDeps): Promise<AuthorityRow> {
  const [signKey, agreeKey] = ["authority/1/sign", "authority/1/agree"];
  const { identifier, chain } = await beginIdentity(deps.suite, await kmsKeys(deps.kms, signKey, agreeKey), {
    now: deps.clock.now(),
    lifeMs: authorityLifeMs,
  });
  const row = { length: 1, identifier, chain, signKey, agreeKey, createdAt: deps.clock.now() };
  try {
    await deps.db.write(insertChain(deps.db, row));
    return row;
  } catch (error) {
    if (!isDuplicate(error, authorityChains.length)) throw error;
  }
  const other = await newestChain(deps.db);
  if (other === undefined) throw new Fault("database", "the authority that another replica made is not there");
  return other;
}

async function kmsKeys(kms: AuthorityDeps["kms"], signKey: string, agreeKey: string): Promise<ChangeKeys> {
  const ed25519 = (await kms.ensureKey(signKey, "sign")).publicKey;
  const x25519 = (await kms.ensureKey(agreeKey, "agree")).publicKey;
  return { ed25519, x25519, sign: (message) => kms.sign(signKey, message) };
}
