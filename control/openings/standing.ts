import type { Bytes } from "#lib/bytes";
import type { UpWatermark } from "#lib/session";
import type { CopyPolicy } from "../agents/tables.ts";
import type { Db } from "../db/index.ts";

/** The slot that a header names, as the last opening left it. */
export interface Slot {
  /** Whose value it is; another identity's (or a person's decision) makes it count for nothing. */
  readonly identifier: string;
  readonly epoch: number;
  readonly continuity: Bytes;
  readonly formerContinuity: Bytes | null;
  readonly readyAt: number | null;
}

/** All that decides over an opening, and all that its answer says, as one read saw it. */
export interface Standing {
  readonly identifier: string;
  readonly agentId: string;
  readonly customerId: string;
  readonly kid: string;
  readonly x25519: Bytes;
  readonly formerKid: string | null;
  readonly formerX25519: Bytes | null;
  readonly kmsKey: string;
  readonly solarisKey: Bytes;
  readonly identityExpiresAt: number;
  readonly identityVersion: number;
  /** Whether agent or identity were revoked, or the agent has another identity by now. */
  readonly revoked: boolean;
  readonly heldAt: number | null;
  readonly copyPolicy: CopyPolicy;
  readonly agentVersion: number;
  readonly licence: {
    readonly suspendedAt: number | null;
    readonly validFrom: number;
    readonly validUntil: number | null;
  };
  readonly slot: Slot | undefined;
  /** Number of the revocation list, and of the newest desired state that is sealed to the agent; 0 = none. */
  readonly revocations: number;
  readonly desired: number;
  /** How far ingest has taken the lanes. */
  readonly lanes: readonly UpWatermark[];
}

interface Row {
  readonly identifier: string;
  readonly agentId: string;
  readonly customerId: string;
  readonly kid: string;
  readonly x25519: Bytes;
  readonly formerKid: string | null;
  readonly formerX25519: Bytes | null;
  readonly kmsKey: string;
  readonly solarisKey: Bytes;
  readonly identityExpiresAt: number;
  readonly identityVersion: number;
  readonly revoked: number;
  readonly heldAt: number | null;
  readonly copyPolicy: CopyPolicy;
  readonly agentVersion: number;
  readonly suspendedAt: number | null;
  readonly validFrom: number;
  readonly validUntil: number | null;
  readonly slotIdentifier: string | null;
  readonly epoch: number;
  readonly continuity: Bytes;
  readonly formerContinuity: Bytes | null;
  readonly readyAt: number | null;
  readonly revocations: number;
  readonly desired: number;
  readonly lanes: string;
}

/** Hand-written and one round trip: this and one write are what an opening costs, and thousands may come back at once. */
const text = `SELECT i.identifier, i.agent_id AS agentId, a.customer_id AS customerId, i.kid, i.x25519, i.former_kid AS formerKid,
    i.former_x25519 AS formerX25519, i.kms_key AS kmsKey, i.solaris_key AS solarisKey, i.expires_at AS identityExpiresAt,
    i.version AS identityVersion,
    (i.revoked_at IS NOT NULL OR a.revoked_at IS NOT NULL OR a.identifier IS NOT i.identifier) AS revoked,
    a.held_at AS heldAt, a.copy_policy AS copyPolicy, a.version AS agentVersion,
    l.suspended_at AS suspendedAt, l.valid_from AS validFrom, l.valid_until AS validUntil,
    s.identifier AS slotIdentifier, s.epoch, s.continuity, s.former_continuity AS formerContinuity, s.ready_at AS readyAt,
    (SELECT coalesce(max(number), 0) FROM revocation_lists) AS revocations,
    (SELECT coalesce(max(number), 0) FROM desired_states d WHERE d.agent_id = a.id AND d.statement IS NOT NULL) AS desired,
    (SELECT json_group_array(json_object('plugin', plugin, 'generation', up_generation, 'number', up_number))
      FROM lanes WHERE agent_id = a.id AND up_generation > 0) AS lanes
  FROM agent_identities i JOIN agents a ON a.id = i.agent_id JOIN licences l ON l.id = a.licence_id
    LEFT JOIN agent_slots s ON s.agent_id = a.id AND s.slot = ?
  WHERE i.identifier = ?`;

/** What is known of an identifier and the slot it asks for; undefined when it was never enrolled. */
export async function readStanding(db: Db, identifier: string, slot: number): Promise<Standing | undefined> {
  const [row] = await db.read<Row>(text, [slot, identifier]);
  if (row === undefined) return undefined;
  const { slotIdentifier, epoch, continuity, formerContinuity, readyAt, lanes, suspendedAt, validFrom, validUntil } =
    row;
  return {
    ...row,
    revoked: row.revoked === 1,
    licence: { suspendedAt, validFrom, validUntil },
    slot:
      slotIdentifier === null
        ? undefined
        : { identifier: slotIdentifier, epoch, continuity, formerContinuity, readyAt },
    lanes: JSON.parse(lanes) as UpWatermark[], // the query made it
  };
}
