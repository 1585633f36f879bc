import type { Clock } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { beginIdentity, type ChangeKeys, isExtension, type VerifiedIdentity, verifyIdentity } from "#lib/identity";
import { type Kms, kmsSigner } from "#lib/kms";
import type { Signer } from "#lib/statement";
import { type Db, isDuplicate } from "../db/index.ts";
import { type AuthorityRow, insertChain, newestChain, newestLength } from "./repo.ts";
import { authorityChains } from "./tables.ts";

export const authorityLifeMs = 10 * 365 * 86_400_000;

/** Solaris' own identity: the root of trust. Its keys stay in KMS. */
export interface Authority {
  /** Its newest chain; taken anew each time, since a rotation replaces it. */
  readonly identity: VerifiedIdentity;
  readonly signer: Signer;
  /** What was sealed to the authority's last X25519 key. */
  unseal(jwe: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Takes over what another replica rotated. */
  look(): Promise<void>;
}

export interface AuthorityDeps {
  readonly db: Db;
  readonly kms: Pick<Kms, "ensureKey" | "sign" | "unseal">;
  readonly suite: CryptoSuite;
  readonly clock: Clock;
}

/** The authority of this installation, made at the first start. Several replicas may start at once: one chain counts. */
export async function openAuthority(deps: AuthorityDeps): Promise<Authority> {
  let held = await hold(deps, (await newestChain(deps.db)) ?? (await begin(deps)));
  return {
    get identity() {
      return held.identity;
    },
    signer: {
      get kid() {
        return held.signer.kid;
      },
      // Called in the same turn in which `kid` was read: both are of one change.
      sign: (message) => held.signer.sign(message),
    },
    unseal: (jwe) => deps.kms.unseal(held.row.agreeKey, jwe),
    async look() {
      if ((await newestLength(deps.db)) === held.row.length) return;
      const row = await newestChain(deps.db);
      if (row !== undefined) held = await hold(deps, row, held.identity);
    },
  };
}

interface Held {
  readonly row: AuthorityRow;
  readonly identity: VerifiedIdentity;
  readonly signer: Signer;
}

/** Fault `identity_invalid` when the chain in the database is no extension of the one held. */
async function hold(deps: AuthorityDeps, row: AuthorityRow, before?: VerifiedIdentity): Promise<Held> {
  const identity = await verifyIdentity(deps.suite, row.chain, { now: "any time", expected: row.identifier });
  if (before !== undefined && !isExtension(identity, before))
    throw new Fault("identity_invalid", "the authority in the database is not the one that was there");
  return { row, identity, signer: kmsSigner(deps.kms, row.signKey, identity.last.hash) };
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
  const now = deps.clock.now();
  const row = { length: 1, identifier, chain, signKey, agreeKey, createdAt: now, finishedAt: now };
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

/** Keys in KMS as those of an identity change, made when there are none yet. */
export async function kmsKeys(kms: AuthorityDeps["kms"], signKey: string, agreeKey: string): Promise<ChangeKeys> {
  const ed25519 = (await kms.ensureKey(signKey, "sign")).publicKey;
  const x25519 = (await kms.ensureKey(agreeKey, "agree")).publicKey;
  return { ed25519, x25519, sign: (message) => kms.sign(signKey, message) };
}
