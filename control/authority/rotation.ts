import type { Clock } from "#lib/clock";
import { asFault, Fault } from "#lib/fault";
import { continueIdentity } from "#lib/identity";
import { type Kms, kmsSigner } from "#lib/kms";
import type { Log } from "#lib/log";
import { type Db, isDuplicate } from "../db/index.ts";
import { type Authority, type AuthorityDeps, authorityLifeMs, kmsKeys } from "./authority.ts";
import { allChains, finishChain, insertChain, newestChain } from "./repo.ts";
import type { Revocations } from "./revocations.ts";
import { authorityChains } from "./tables.ts";

export interface RotationDeps extends AuthorityDeps {
  readonly kms: Pick<Kms, "ensureKey" | "sign" | "unseal" | "destroy">;
  readonly authority: Authority;
  readonly revocations: Revocations;
}

/**
 * Gives the authority new keys (PROTOCOL §3): its chain grows by a change, and the revocation list is signed anew in the same write.
 * What else was signed follows within seconds (`finishRotation`). Fault `conflict` while the rotation before is not finished.
 */
export async function rotateAuthority(deps: RotationDeps, actor: string): Promise<void> {
  const { db, kms, suite, clock, authority, revocations } = deps;
  await authority.look();
  const row = await newestChain(db);
  if (row === undefined || row.finishedAt === null) throw new Fault("conflict", "a rotation is under way");
  const length = row.length + 1;
  const [signKey, agreeKey] = [`authority/${length}/sign`, `authority/${length}/agree`];
  const before = { sign: (message: Uint8Array) => kms.sign(row.signKey, message) };
  const now = clock.now();
  const next = await continueIdentity(suite, authority.identity, before, await kmsKeys(kms, signKey, agreeKey), {
    now,
    lifeMs: authorityLifeMs,
  });
  const { identifier, chain, last } = next;
  const event = { actor, action: "authority.rotated", detail: { length, kid: last.hash } };
  const made = { length, identifier, chain, signKey, agreeKey, createdAt: now, finishedAt: null };
  try {
    await revocations.signAnew(event, kmsSigner(kms, signKey, last.hash), insertChain(db, made));
  } catch (error) {
    if (isDuplicate(error, authorityChains.length))
      throw new Fault("conflict", "a rotation is under way", { cause: error });
    throw error;
  }
  await authority.look();
  await revocations.push();
}

/** Every replica has looked by then: none signs with the key before any more. */
const settledMs = 5_000;

/**
 * Finishes a rotation: a checkpoint and all desired states are signed anew, then the keys before are destroyed. Killed half-way it
 * begins again; with nothing to do it does nothing.
 */
export async function finishRotation(
  deps: RotationDeps & { readonly db: Db; readonly clock: Clock; readonly log: Log },
  signAnew: () => Promise<void>,
): Promise<void> {
  const rows = await allChains(deps.db);
  const newest = rows.at(-1);
  if (newest === undefined || newest.finishedAt !== null) return;
  if (deps.clock.now() - newest.createdAt < settledMs) return;
  await deps.authority.look();
  await signAnew();
  for (const { signKey, agreeKey } of rows.slice(0, -1))
    for (const key of [signKey, agreeKey]) await destroy(deps.kms, key);
  await deps.db.write(finishChain(deps.db, newest.length, deps.clock.now()));
  deps.log.info("the authority's rotation is finished", { length: newest.length });
}

async function destroy(kms: Pick<Kms, "destroy">, key: string): Promise<void> {
  try {
    await kms.destroy(key);
  } catch (error) {
    if (asFault(error, "internal").code !== "not_found") throw error; // it is gone: that is what is wanted
  }
}
