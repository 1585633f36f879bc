import type { Bytes } from "#lib/bytes";
import type { Database } from "#lib/runtime";
import { type Freshness, noFreshness, raiseFreshness } from "#lib/statement";
import { blobOf } from "./identity-store.ts";
import { numberOf } from "./lane-row.ts";

/** Which cloud this node belongs to, or is about to. */
export interface EnrollmentRecord {
  /** Address of the gateway, as in the token. */
  readonly gateway: string;
  /** Identifier of the authority. */
  readonly authority: string;
  /** The token that is being redeemed; gone once the first tunnel has opened. */
  readonly token: string | null;
  /** Null until Solaris has answered. */
  readonly agentId: string | null;
  /** 32 bytes: Solaris' X25519 key for this agent alone. */
  readonly solarisPublic: Bytes | null;
  readonly credential: string | null;
  readonly enrolledAt: number | null;
}

/** What the authority has told: its chain, the newest revocation list, the highest numbers (PROTOCOL §3). */
export interface AuthorityRecord {
  readonly chain: Bytes;
  readonly revocationList: string | null;
  readonly freshness: Freshness;
  /** What was added to the machine's clock by authenticated correction, ms. */
  readonly clockOffsetMs: number;
}

/** Epoch and continuity value of one tunnel slot (PROTOCOL §6). */
export interface SlotRecord {
  readonly epoch: number;
  readonly continuity: Bytes;
}

/** What a node knows of its cloud. Numbers only rise, whatever is written. */
export class CloudStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async enrollment(): Promise<EnrollmentRecord | undefined> {
    const [row] = await this.#database.read("SELECT * FROM enrollment WHERE one = 1");
    if (row === undefined) return undefined;
    const text = (name: string) => (typeof row[name] === "string" ? row[name] : null);
    return {
      gateway: text("gateway") ?? "",
      authority: text("authority") ?? "",
      token: text("token"),
      agentId: text("agent_id"),
      solarisPublic: row.solaris_public == null ? null : blobOf(row.solaris_public),
      credential: text("credential"),
      enrolledAt: typeof row.enrolled_at === "number" ? row.enrolled_at : null,
    };
  }

  /** Remembers which token is being redeemed, before it is sent: a lost answer can be asked for again. */
  async beginEnrollment({ gateway, authority, token }: Pick<EnrollmentRecord, "gateway" | "authority" | "token">) {
    await this.#database.write([
      {
        sql: `INSERT INTO enrollment (one, gateway, authority, token) VALUES (1, ?, ?, ?)
              ON CONFLICT (one) DO UPDATE SET gateway = excluded.gateway, authority = excluded.authority, token = excluded.token
              WHERE enrollment.agent_id IS NULL`,
        params: [gateway, authority, token],
      },
    ]);
  }

  /** What Solaris answered, with the authority's chain, in one transaction. */
  async enrolled(answer: {
    readonly agentId: string;
    readonly solarisPublic: Uint8Array;
    readonly credential: string;
    readonly authority: Uint8Array;
    readonly authorityIat: number;
    readonly now: number;
  }): Promise<void> {
    await this.#database.write([
      {
        sql: "UPDATE enrollment SET agent_id = ?, solaris_public = ?, credential = ?, enrolled_at = ? WHERE one = 1",
        params: [answer.agentId, answer.solarisPublic, answer.credential, answer.now],
        expect: 1,
      },
      {
        sql: `INSERT INTO authority (one, chain, newest_iat) VALUES (1, ?, ?)
              ON CONFLICT (one) DO UPDATE SET chain = excluded.chain, newest_iat = max(newest_iat, excluded.newest_iat)`,
        params: [answer.authority, answer.authorityIat],
      },
    ]);
  }

  /** The first tunnel has opened: the token is worth nothing from now on. */
  async forgetToken(): Promise<void> {
    await this.#database.write([{ sql: "UPDATE enrollment SET token = NULL WHERE one = 1 AND token IS NOT NULL" }]);
  }

  async keepCredential(credential: string): Promise<void> {
    await this.#database.write([
      { sql: "UPDATE enrollment SET credential = ? WHERE one = 1", params: [credential], expect: 1 },
    ]);
  }

  async authority(): Promise<AuthorityRecord | undefined> {
    const [row] = await this.#database.read("SELECT * FROM authority WHERE one = 1");
    if (row === undefined) return undefined;
    return {
      chain: blobOf(row.chain),
      revocationList: typeof row.revocation_list === "string" ? row.revocation_list : null,
      freshness: raiseFreshness(noFreshness, {
        revocations: numberOf(row.revocations),
        desired: numberOf(row.desired),
        authorityIat: numberOf(row.newest_iat),
      }),
      clockOffsetMs: numberOf(row.clock_offset),
    };
  }

  /** A longer chain of the authority, verified as an extension of the one held. */
  async keepAuthority(chain: Uint8Array): Promise<void> {
    await this.#database.write([{ sql: "UPDATE authority SET chain = ? WHERE one = 1", params: [chain], expect: 1 }]);
  }

  /** A verified list; an older one than the one held changes nothing. */
  async keepRevocations(number: number, list: string, iat: number): Promise<void> {
    await this.#database.write([
      {
        sql: `UPDATE authority SET revocations = ?, revocation_list = ?, newest_iat = max(newest_iat, ?)
              WHERE one = 1 AND revocations <= ?`,
        params: [number, list, iat, number],
      },
    ]);
  }

  /** Raises the numbers seen; none ever goes down. */
  async raise({ desired, authorityIat }: Partial<Pick<Freshness, "desired" | "authorityIat">>): Promise<void> {
    await this.#database.write([
      {
        sql: "UPDATE authority SET desired = max(desired, ?), newest_iat = max(newest_iat, ?) WHERE one = 1",
        params: [desired ?? 0, authorityIat ?? 0],
      },
    ]);
  }

  async keepClockOffset(offsetMs: number): Promise<void> {
    await this.#database.write([
      { sql: "UPDATE authority SET clock_offset = ? WHERE one = 1", params: [Math.round(offsetMs)] },
    ]);
  }

  async slot(slot: 0 | 1): Promise<SlotRecord | undefined> {
    const [row] = await this.#database.read("SELECT epoch, continuity FROM slot WHERE slot = ?", [slot]);
    return row === undefined ? undefined : { epoch: numberOf(row.epoch), continuity: blobOf(row.continuity) };
  }

  /** Durable when it resolves: `ready` may be said after that and not before. */
  async keepSlot(slot: 0 | 1, { epoch, continuity }: SlotRecord): Promise<void> {
    await this.#database.write([
      {
        sql: `INSERT INTO slot (slot, epoch, continuity) VALUES (?, ?, ?)
              ON CONFLICT (slot) DO UPDATE SET epoch = excluded.epoch, continuity = excluded.continuity`,
        params: [slot, epoch, continuity],
      },
    ]);
  }
}
