import { chooseSuite } from "#lib/crypto";
import { silentLog } from "#lib/log";
import { systemClock, systemRandom } from "#lib/runtime";
import { createKey, scopeSchema } from "../access/index.ts";
import { parseOrInvalid } from "../api/index.ts";
import { makeAuditLog } from "../audit/index.ts";
import type { SolarisConfig } from "../config.ts";
import { makeDb, makeNewId } from "../db/index.ts";
import { openStores } from "../stores.ts";

/** A new API key for whoever has this machine's key; in the audit log as made by `key:this-machine`. */
export async function makeKey(
  config: SolarisConfig,
  wanted: {
    readonly name: string;
    readonly scopes: string;
    readonly customer?: string;
    /** Default: it does not run out. */
    readonly lifeMs?: number;
  },
): Promise<string> {
  const suite = await chooseSuite();
  const scopes = parseOrInvalid(scopeSchema.array().min(1), wanted.scopes.split(","), "scopes");
  await using stores = await openStores(config, suite, silentLog);
  const db = makeDb(stores.database);
  const deps = {
    db,
    suite,
    audit: makeAuditLog({ db, suite, clock: systemClock }),
    clock: systemClock,
    random: systemRandom,
    newId: makeNewId(systemClock, systemRandom),
  };
  const self = { keyId: "this-machine", scopes: ["*" as const], customerId: null };
  const expiresAt = wanted.lifeMs === undefined ? null : systemClock.now() + wanted.lifeMs;
  const made = { name: wanted.name, scopes, customerId: wanted.customer ?? null, expiresAt };
  return (await createKey(deps, self, made)).key;
}
