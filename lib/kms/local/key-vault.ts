import type { Bytes } from "#lib/bytes";
import type { Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import type { KeyRepo, KeyRow } from "./key-repo.ts";
import { type KeyEncryptionKey, keyEncryptionKey, unwrapSecret, wrapSecret } from "./wrapped-key.ts";

const formerRecord = { name: "former", kind: "kek", public: new Uint8Array(0) };
/** Keys wrapped anew in one transaction. */
const rotationBatch = 100;

/** Stored secrets, wrapped under key-encryption keys that can be exchanged while they are in use. */
export class KeyVault {
  readonly #suite: CryptoSuite;
  readonly #random: Random;
  readonly #repo: KeyRepo;
  /** Key-encryption keys that this process has, by id: one, and its successor while a rotation runs. */
  readonly #keks = new Map<string, KeyEncryptionKey>();

  constructor(suite: CryptoSuite, random: Random, repo: KeyRepo) {
    this.#suite = suite;
    this.#random = random;
    this.#repo = repo;
  }

  /**
   * Takes the key-encryption key of the database, or the successor that a rotation was about to give it: then that rotation
   * is finished first. The former one is good as long as it is not. Fault `database_key` for any other.
   */
  async unlock(raw: Uint8Array): Promise<void> {
    const kek = await keyEncryptionKey(this.#suite, raw);
    await this.#repo.begin(kek.id);
    const row = await this.#repo.kek();
    if (row?.current !== kek.id && row?.next !== kek.id)
      throw new Fault("database_key", "the keys are under another key-encryption key", { detail: { given: kek.id } });
    this.#keks.set(kek.id, kek);
    if (row.next !== kek.id || row.former === null) return;
    const former = await keyEncryptionKey(this.#suite, await unwrapSecret(kek, formerRecord, row.former));
    this.#keks.set(former.id, former);
    await this.#finish(row.current, kek);
  }

  /** Forgets the key-encryption keys. */
  lock(): void {
    for (const { raw } of this.#keks.values()) raw.fill(0);
    this.#keks.clear();
  }

  /** Stores a secret under a name, unless the name is taken: look it up afterwards. */
  async store(name: string, kind: KeyRow["kind"], publicKey: Bytes, secret: Uint8Array, nowMs: number): Promise<void> {
    const current = (await this.#repo.kek())?.current ?? "";
    const kek = this.#keks.get(current);
    if (kek === undefined) throw rotatedElsewhere();
    const record = { name, kind, public: publicKey };
    const wrapped = await wrapSecret(this.#random, kek, record, secret);
    await this.#repo.insert({ ...record, wrapped, kek: kek.id }, nowMs);
  }

  /** The row of a name. */
  find(name: string): Promise<KeyRow | undefined> {
    return this.#repo.key(name);
  }

  /** The secret of a row, to be used at once and overwritten. Undefined when it was destroyed. */
  async secretOf(row: KeyRow): Promise<Bytes | undefined> {
    const opened = await this.#open(row);
    if (opened !== "other key") return opened;
    const again = await this.#repo.key(row.name); // a rotation may have ended since the row was read
    const reopened = again === undefined ? undefined : await this.#open(again);
    if (reopened === "other key") throw rotatedElsewhere();
    return reopened;
  }

  /**
   * Wraps every key under `raw` (32 bytes) beside its present wrapping, then drops the latter, in one transaction. Both open the
   * database until then; the successor never stands in it under its predecessor. Fault `conflict` during another rotation.
   */
  async rotate(raw: Uint8Array): Promise<void> {
    const next = await keyEncryptionKey(this.#suite, raw);
    const row = await this.#repo.kek();
    if (row === undefined || row.current === next.id) return;
    const current = this.#keks.get(row.current);
    if (current === undefined) throw rotatedElsewhere();
    const former = await wrapSecret(this.#random, next, formerRecord, current.raw);
    await this.#repo.beginRotation(current.id, next.id, former);
    this.#keks.set(next.id, next);
    await this.#finish(current.id, next);
  }

  async #finish(currentId: string, next: KeyEncryptionKey): Promise<void> {
    for (;;) {
      const rows = await this.#repo.notRewrapped(next.id, rotationBatch);
      if (rows.length > 0) {
        await this.#repo.addWrappings(next.id, await this.#rewrapped(rows, next));
        continue;
      }
      await this.#repo.finishRotation(currentId, next.id);
      if ((await this.#repo.kek())?.current === next.id) break; // else a key was made in between
    }
    this.#keks.get(currentId)?.raw.fill(0);
    this.#keks.delete(currentId);
  }

  async #rewrapped(rows: readonly KeyRow[], next: KeyEncryptionKey) {
    const rewrapped: (KeyRow & { rewrapped: Bytes })[] = [];
    for (const row of rows) {
      const secret = await this.secretOf(row);
      if (secret === undefined) continue; // destroyed in between
      rewrapped.push({ ...row, rewrapped: await wrapSecret(this.#random, next, row, secret) });
      secret.fill(0);
    }
    return rewrapped;
  }

  async #open(row: KeyRow): Promise<Bytes | undefined | "other key"> {
    if (row.wrapped === null) return undefined;
    const current = this.#keks.get(row.kek);
    if (current !== undefined) return await unwrapSecret(current, row, row.wrapped);
    const next = row.next_kek === null ? undefined : this.#keks.get(row.next_kek);
    if (next !== undefined && row.next_wrapped !== null) return await unwrapSecret(next, row, row.next_wrapped);
    return "other key";
  }
}

function rotatedElsewhere(): Fault {
  return new Fault("database_key", "the key-encryption key was rotated by another process: start with the new one");
}
