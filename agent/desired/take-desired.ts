import { fromUtf8 } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import type { NodeKeys, VerifiedIdentity } from "#lib/identity";
import { desiredStateSchema } from "#lib/session";
import { checkNotBelow, verifyDesired } from "#lib/statement";
import type { Store } from "../store/open-store.ts";

export interface TakeDesiredDeps {
  readonly suite: CryptoSuite;
  readonly store: Pick<Store, "cloud" | "items">;
  /** ms since 1970, corrected. */
  readonly now: () => number;
}

/**
 * Verifies a sealed desired state and keeps it durably as what is wanted; answers its number. The number held already is
 * answered and changes nothing. Faults: those of unsealing and `verifyDesired`; `statement_stale` when older than one seen;
 * `invalid` when it does not fit the schema: nothing is applied then, what runs goes on.
 */
export async function takeDesired(
  { suite, store, now }: TakeDesiredDeps,
  { keys, authority }: { readonly keys: NodeKeys; readonly authority: VerifiedIdentity },
  sealed: string,
): Promise<number> {
  const jws = fromUtf8(await keys.unseal(sealed));
  const claims = await verifyDesired(suite, jws, { authority, recipient: keys.identity.identifier, now: now() });
  const held = await store.cloud.authority();
  if (held === undefined) throw new TypeError("a desired state before the enrollment");
  checkNotBelow(held.freshness, "desired", claims.number);
  const { plugins, portals, policies } = claims;
  const state = desiredStateSchema.safeParse({ plugins, portals, policies });
  if (!state.success) {
    const [issue] = state.error.issues;
    throw new Fault("invalid", `the desired state does not fit this version: ${issue?.path.join(".")}`, {
      detail: { number: claims.number },
    });
  }
  demandOnce("plugin", claims.number, state.data.plugins);
  demandOnce("portal", claims.number, state.data.portals);
  demandOnce("policy", claims.number, state.data.policies);
  await store.items.want(claims.number, state.data);
  return claims.number;
}

function demandOnce(kind: string, number: number, items: readonly { readonly name: string }[]): void {
  if (new Set(items.map(({ name }) => name)).size !== items.length)
    throw new Fault("invalid", `the desired state names a ${kind} twice`, { detail: { number } });
}
