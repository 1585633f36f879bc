import { Fault } from "#lib/fault";
import { createIdentity, decodeSecrets, encodeSecrets, type NodeKeys, nodeKeys, verifyIdentity } from "#lib/identity";
import type { SliceDeps } from "../api/index.ts";
import { authorityLifeMs } from "../authority/index.ts";
import { isDuplicate } from "../db/index.ts";
import { messengers } from "./tables.ts";

/**
 * Solaris as a sender and reader of sealed messages. An identity of its own, which desired states name (and so the authority vouches for):
 * the authority's key stays in KMS and is not used per message, and what a stolen messenger could forge are messages, not states.
 */
export interface Messenger {
  /** Its keys; made at the first use there ever was, opened at the first of this process, which the audit log records. */
  keys(): Promise<NodeKeys>;
}

type MessengerDeps = Pick<SliceDeps, "db" | "seals" | "audit" | "suite" | "random" | "clock">;

export function makeMessenger(deps: MessengerDeps): Messenger {
  let held: Promise<NodeKeys> | undefined;
  return {
    keys() {
      held ??= open(deps).catch((error: unknown) => {
        held = undefined;
        throw error;
      });
      return held;
    },
  };
}

const sealedRow = "1";

async function open(deps: MessengerDeps): Promise<NodeKeys> {
  const row = (await stored(deps)) ?? (await make(deps));
  const identity = await verifyIdentity(deps.suite, row.chain, { now: "any time" });
  const detail = { identifier: identity.identifier };
  await deps.audit.record({ actor: "solaris", action: "messenger.opened", detail });
  const secrets = decodeSecrets(await deps.seals.open(messengers.secrets, sealedRow, row.secrets));
  return nodeKeys(deps.suite, secrets, identity);
}

async function stored({ db }: Pick<MessengerDeps, "db">) {
  const [row] = await db.query.select().from(messengers).limit(1);
  return row;
}

async function make(deps: MessengerDeps) {
  const now = deps.clock.now();
  const { secrets, chain } = await createIdentity(deps.suite, deps.random, { now, lifeMs: authorityLifeMs });
  const sealed = await deps.seals.seal(messengers.secrets, sealedRow, encodeSecrets(secrets));
  const row = { one: 1, chain, secrets: sealed, createdAt: now };
  try {
    await deps.db.write(deps.db.query.insert(messengers).values(row));
    return row;
  } catch (error) {
    if (!isDuplicate(error, messengers.one)) throw error;
  }
  const other = await stored(deps);
  if (other === undefined) throw new Fault("database", "the messenger that another replica made is not there");
  return other;
}
