import type { Bytes } from "#lib/bytes";
import type { Clock, Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import {
  createIdentity,
  decodeSecrets,
  encodeSecrets,
  extendIdentity,
  type IdentitySecrets,
  type NodeKeys,
  nodeKeys,
  type VerifiedIdentity,
  verifyIdentity,
  withoutFormer,
} from "#lib/identity";
import { identityChangesMax, identityRotationMs } from "#lib/limits";
import type { Database, SqlValue } from "#lib/runtime";

/** The node's own identity. Secrets are read, used and written here alone (PROTOCOL §1). */
export class IdentityStore {
  readonly #database: Database;
  readonly #suite: CryptoSuite;
  readonly #random: Random;
  readonly #clock: Pick<Clock, "now">;

  constructor(database: Database, suite: CryptoSuite, random: Random, clock: Pick<Clock, "now">) {
    this.#database = database;
    this.#suite = suite;
    this.#random = random;
    this.#clock = clock;
  }

  /** The confirmed identity; undefined before the first enrollment. */
  async current(): Promise<NodeKeys | undefined> {
    const row = await this.#row();
    return row === undefined ? undefined : await this.#keys(row.secrets, row.chain);
  }

  /** The keys of a rotation under way; undefined when there is none. */
  async pending(): Promise<NodeKeys | undefined> {
    const row = await this.#row();
    if (row?.pending_secrets == null || row.pending_chain == null) return undefined;
    return await this.#keys(row.pending_secrets, row.pending_chain);
  }

  /** The keys of a rotation under way; of one that begins now where the last change is 90 days old. `now`: true time, ms. */
  async next(now: number): Promise<NodeKeys | undefined> {
    const pending = await this.pending();
    if (pending !== undefined) return pending;
    const held = await this.current();
    if (held === undefined) return undefined;
    const { last, changes } = held.identity;
    const due = now - last.createdMs >= identityRotationMs && changes.length < identityChangesMax;
    return due ? await this.beginRotation(now) : undefined;
  }

  /** The identity, made and stored now if there is none: a lost answer finds the same one again (PROTOCOL §4). */
  async ensure(): Promise<NodeKeys> {
    const held = await this.current();
    if (held !== undefined) return held;
    const { secrets, chain } = await createIdentity(this.#suite, this.#random, { now: this.#clock.now() });
    await this.#database.write([
      {
        sql: "INSERT INTO identity (one, secrets, chain) VALUES (1, ?, ?)",
        params: [encodeSecrets(secrets), chain],
      },
    ]);
    return await this.#keys(encodeSecrets(secrets), chain);
  }

  /** Another identity in place of one that Solaris never answered. Fault `conflict` once it has. */
  async remakeUnanswered(): Promise<NodeKeys> {
    await this.#database.write([
      {
        sql: "DELETE FROM identity WHERE one = 1 AND NOT EXISTS (SELECT 1 FROM enrollment WHERE agent_id IS NOT NULL)",
        expect: 1,
      },
    ]);
    return await this.ensure();
  }

  /** Makes and stores the next keys before anyone is told of them; those of a rotation under way are kept. */
  async beginRotation(now = this.#clock.now()): Promise<NodeKeys> {
    const pending = await this.pending();
    if (pending !== undefined) return pending;
    const row = await this.#row();
    if (row === undefined) throw new Fault("not_found", "there is no identity to rotate");
    const identity = await this.#identity(row.chain);
    const next = await extendIdentity(
      this.#suite,
      this.#random,
      { secrets: secretsOf(row.secrets), identity },
      { now },
    );
    await this.#database.write([
      {
        sql: "UPDATE identity SET pending_secrets = ?, pending_chain = ? WHERE one = 1 AND pending_chain IS NULL",
        params: [encodeSecrets(next.secrets), next.chain],
        expect: 1,
      },
    ]);
    return await this.#keys(encodeSecrets(next.secrets), next.chain);
  }

  /** Solaris has registered the change: it is the identity now, and `credential` the one issued for it. */
  async confirmRotation(credential: string): Promise<void> {
    await this.#database.write([
      {
        sql: `UPDATE identity SET secrets = pending_secrets, chain = pending_chain, pending_secrets = NULL, pending_chain = NULL
              WHERE one = 1 AND pending_chain IS NOT NULL`,
        expect: 1,
      },
      { sql: "UPDATE enrollment SET credential = ? WHERE one = 1", params: [credential] },
    ]);
  }

  /** Drops the keys of changes before: all that is sealed to this node was sealed again. */
  async forgetFormer(): Promise<void> {
    const row = await this.#row();
    if (row === undefined) return;
    const kept = encodeSecrets(withoutFormer(secretsOf(row.secrets)));
    await this.#database.write([{ sql: "UPDATE identity SET secrets = ? WHERE one = 1", params: [kept] }]);
  }

  async #row() {
    interface Row {
      secrets: SqlValue;
      chain: SqlValue;
      pending_secrets: SqlValue;
      pending_chain: SqlValue;
    }
    const [row] = await this.#database.read<Row>(
      "SELECT secrets, chain, pending_secrets, pending_chain FROM identity WHERE one = 1",
    );
    return row;
  }

  #identity(chain: SqlValue): Promise<VerifiedIdentity> {
    return verifyIdentity(this.#suite, blobOf(chain), { now: "any time" });
  }

  async #keys(secrets: SqlValue, chain: SqlValue): Promise<NodeKeys> {
    return await nodeKeys(this.#suite, secretsOf(secrets), await this.#identity(chain));
  }
}

function secretsOf(value: SqlValue): IdentitySecrets {
  return decodeSecrets(blobOf(value));
}

/** A blob column. TypeError when the schema is not what this code was written for. */
export function blobOf(value: SqlValue | undefined): Bytes {
  if (!(value instanceof Uint8Array)) throw new TypeError("a column does not hold bytes");
  return value;
}
