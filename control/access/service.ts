import { type Bytes, hex, utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import type { Statement } from "#lib/runtime";
import type { FindPrincipal } from "../api/authenticate.ts";
import { type Keep, keepNothing } from "../api/idempotency.ts";
import type { SliceDeps } from "../api/slice.ts";
import { expecting, isUnmet, makeRemembered, newSecretText } from "../db/index.ts";
import { actorOf, type Principal } from "./principal.ts";
import { type ApiKeyRow, hasKeys, insertKey, keyByHash, keyById, revokeKey, touchKey } from "./repo.ts";
import { checkGrant, isLive } from "./rules.ts";
import type { Scope } from "./scopes.ts";

export type KeyDeps = Pick<SliceDeps, "db" | "audit" | "suite" | "clock" | "random" | "newId">;

export interface NewKey {
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly customerId: string | null;
  readonly expiresAt: number | null;
}

export interface MadeKey {
  readonly id: string;
  readonly key: string;
}

/** A new key: its id, and its text, which nothing holds after this. With `guard` only if it holds. */
export async function createKey(
  deps: KeyDeps,
  maker: Principal,
  wanted: NewKey,
  { guard, keep = keepNothing }: { readonly guard?: Statement; readonly keep?: Keep<MadeKey> } = {},
): Promise<MadeKey> {
  checkGrant(maker, wanted.scopes, wanted.customerId);
  const key = newSecretText(deps.random, "solaris");
  const id = deps.newId("key");
  const row = {
    id,
    name: wanted.name,
    hash: await hashKey(deps, key),
    scopes: [...wanted.scopes],
    customerId: wanted.customerId,
    createdAt: deps.clock.now(),
    createdBy: actorOf(maker),
    expiresAt: wanted.expiresAt,
  };
  const made = { id, key };
  const event = {
    actor: actorOf(maker),
    action: "key.created",
    subject: id,
    detail: { scopes: wanted.scopes.join(" ") },
  };
  await deps.audit.record(
    wanted.customerId === null ? event : { ...event, customerId: wanted.customerId },
    ...(guard === undefined ? [] : [guard]),
    insertKey(deps.db, row),
    ...(await keep(made)),
  );
  return made;
}

/** Holds while there is no key at all: of several replicas that start at once one makes the first. */
const noKeyYet: Statement = { sql: "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM api_keys)", expect: 1 };

/** The first key of a new installation, with every scope; undefined when there is a key already. */
export async function createFirstKey(deps: KeyDeps): Promise<string | undefined> {
  if (await hasKeys(deps.db)) return undefined;
  const self: Principal = { keyId: "first-start", scopes: ["*"], customerId: null };
  const wanted: NewKey = { name: "first admin key", scopes: ["*"], customerId: null, expiresAt: null };
  try {
    return (await createKey(deps, self, wanted, { guard: noKeyYet })).key;
  } catch (error) {
    if (isUnmet(error, 0)) return undefined;
    throw error;
  }
}

/** Ends a key at once. Fault `not_found` when there is none, `conflict` when it is revoked already. */
export async function endKey(deps: KeyDeps, by: Principal, id: string): Promise<void> {
  const row = await keyById(deps.db, id);
  if (row === undefined) throw new Fault("not_found");
  if (row.revokedAt !== null) throw new Fault("conflict", "this key is revoked already");
  const event = { actor: actorOf(by), action: "key.revoked", subject: id };
  await deps.audit.record(event, expecting(1, revokeKey(deps.db, id, deps.clock.now())));
}

const rememberedMax = 1_000;
/** A revoked key counts for at most this long after its revocation, in every replica. */
const rememberedMs = 1_000;
const touchedEveryMs = 60_000;

/** Finds principals by key. What was found is remembered for a second, so that a busy key costs one read a second. */
export function makeFindPrincipal(deps: KeyDeps): FindPrincipal {
  const remembered = makeRemembered<ApiKeyRow>(deps.clock, { forMs: rememberedMs, max: rememberedMax });
  const touched = new Map<string, number>();

  const find = (hash: Bytes) => remembered.get(hex(hash), () => keyByHash(deps.db, hash));

  async function touch(row: ApiKeyRow, now: number): Promise<void> {
    if (now - (touched.get(row.id) ?? row.lastUsedAt ?? 0) < touchedEveryMs) return;
    if (touched.size >= rememberedMax) touched.clear();
    touched.set(row.id, now);
    await deps.db.write(touchKey(deps.db, row.id, now));
  }

  return async (key) => {
    const row = await find(await hashKey(deps, key));
    const now = deps.clock.now();
    if (row === undefined || !isLive(row, now)) return undefined;
    await touch(row, now);
    return { keyId: row.id, scopes: row.scopes, customerId: row.customerId };
  };
}

const hashKey = ({ suite }: Pick<KeyDeps, "suite">, key: string) => suite.sha256(utf8(key));
