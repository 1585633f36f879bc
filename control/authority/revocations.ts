import type { Broker } from "#lib/broker";
import { base64url, equalBytes, utf8 } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import type { Log } from "#lib/log";
import type { Statement } from "#lib/runtime";
import { type Signer, signRevocation } from "#lib/statement";
import type { AuditEvent, AuditLog } from "../audit/index.ts";
import { type Db, isDuplicate, type Query } from "../db/index.ts";
import type { Authority } from "./authority.ts";
import { insertList, newestList, newestListNumber, type RevocationListRow, revokedIdentities } from "./repo.ts";
import { listClaims, type RevokedIdentity } from "./rules.ts";
import { revocationLists } from "./tables.ts";

const triesMax = 20;

/** The list of revoked identities: whole, numbered, signed; pushed at once and read again by every Nexus. */
export interface Revocations {
  /** The newest list. */
  current(): Promise<RevocationListRow>;
  number(): Promise<number>;
  /**
   * Revokes identities: the next list, `set` (which marks their rows) and the audit entry are one durable write; then the
   * list is pushed. With no identities `set` is written alone.
   */
  revoke(event: AuditEvent, identities: readonly RevokedIdentity[], ...set: (Statement | Query)[]): Promise<void>;
  /** The next list with the same content, signed by `signer`, in one durable write with `set`. */
  signAnew(event: AuditEvent, signer: Signer, ...set: (Statement | Query)[]): Promise<void>;
  /** Puts the newest list into the broker, unless it is there. */
  push(): Promise<void>;
}

export interface RevocationDeps {
  readonly db: Db;
  readonly audit: AuditLog;
  readonly authority: Authority;
  readonly broker: Pick<Broker, "get" | "put">;
  readonly clock: Clock;
  readonly log: Log;
}

/** The revocations; the first list, number 1, is made when there is none, and the newest is pushed again. */
export async function openRevocations(deps: RevocationDeps): Promise<Revocations> {
  const { db, audit, authority, clock } = deps;

  async function nextList(
    signer: Signer,
    number: number,
    added: readonly RevokedIdentity[],
  ): Promise<RevocationListRow> {
    const now = clock.now();
    const claims = listClaims(number, [...(await revokedIdentities(db, now)), ...added], now);
    return { number, statement: await signRevocation(signer, claims), createdAt: now };
  }

  async function current(): Promise<RevocationListRow> {
    const row = await newestList(db);
    if (row === undefined) throw new Fault("database", "there is no revocation list");
    return row;
  }

  async function writeNext(
    event: AuditEvent,
    signer: Signer,
    identities: readonly RevokedIdentity[],
    set: readonly (Statement | Query)[],
  ): Promise<void> {
    for (let tries = 1; ; tries++) {
      const row = await nextList(signer, (await newestListNumber(db)) + 1, identities);
      try {
        await audit.record(event, ...set, insertList(db, row));
        return;
      } catch (error) {
        if (!isDuplicate(error, revocationLists.number) || tries >= triesMax) throw error;
      }
    }
  }

  /** Compare-and-set: of two pushes that overtake one another the newer list stays. */
  async function push(): Promise<void> {
    for (let tries = 1; ; tries++) {
      const row = await current();
      const wanted = revocationValue(row, authority);
      const there = await deps.broker.get({ kind: "revocations" });
      if (there !== undefined && equalBytes(there.bytes, wanted)) return;
      try {
        await deps.broker.put({ kind: "revocations" }, wanted, { expect: there?.revision ?? 0 });
        return;
      } catch (error) {
        if (!(error instanceof Fault) || error.code !== "conflict" || tries >= triesMax) throw error;
      }
    }
  }

  /** The list counts once it is written; every Nexus also asks Solaris, and a job pushes again. */
  async function pushNow(): Promise<void> {
    try {
      await push();
    } catch (error) {
      deps.log.error("the revocation list could not be pushed yet", { error });
    }
  }

  if ((await newestList(db)) === undefined)
    await db.write(insertList(db, await nextList(authority.signer, 1, [])).onConflictDoNothing());
  await pushNow();

  return {
    current,
    push,
    number: () => newestListNumber(db),
    async revoke(event, identities, ...set) {
      if (identities.length === 0) {
        await audit.record(event, ...set);
        return;
      }
      await writeNext(event, authority.signer, identities, set);
      await pushNow();
    },
    async signAnew(event, signer, ...set) {
      await writeNext(event, signer, [], set);
    },
  };
}

/** What stands in the broker's last value, and in `GET /nexus/v1/revocations`: JSON of `revocationsAnswerSchema`. */
export function revocationAnswer(row: RevocationListRow, authority: Authority) {
  return { number: row.number, statement: row.statement, authority: base64url(authority.identity.chain) };
}

const revocationValue = (row: RevocationListRow, authority: Authority) =>
  utf8(JSON.stringify(revocationAnswer(row, authority)));
