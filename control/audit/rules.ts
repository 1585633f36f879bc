import { type Bytes, concat, encodeCbor, equalBytes, hex, utf8 } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import type { AuditDetail } from "./tables.ts";

/** Something that happened and has to be provable later. */
export interface AuditEvent {
  /** Who: `key:<id>`, `agent:<id>`, `gateway:<id>` or `solaris`. */
  readonly actor: string;
  /** What, as `thing.verb`: `agent.created`. */
  readonly action: string;
  /** To what: an id. */
  readonly subject?: string;
  readonly customerId?: string;
  readonly detail?: AuditDetail;
}

/** An event with its place in the chain. */
export interface AuditEntry {
  /** 1, 2, 3 … without a gap. */
  readonly number: number;
  readonly time: number;
  readonly actor: string;
  readonly action: string;
  readonly subject: string | null;
  readonly customerId: string | null;
  readonly detail: AuditDetail;
  /** `hash` of entry `number - 1`; 32 zero bytes before the first. */
  readonly previous: Bytes;
  readonly hash: Bytes;
}

/** The newest entry's place; what the next one is chained to. */
export interface AuditHead {
  readonly number: number;
  readonly hash: Bytes;
}

export const emptyHead: AuditHead = { number: 0, hash: new Uint8Array(32) };

const prefix = utf8("mercury/1 audit entry");

/** SHA-256 of a fixed prefix and the entry's deterministic CBOR, the hash before included. */
export function hashEntry(suite: CryptoSuite, entry: Omit<AuditEntry, "hash">): Promise<Bytes> {
  const { number, time, actor, action, subject, customerId, detail, previous } = entry;
  return suite.sha256(
    concat(prefix, encodeCbor({ number, time, actor, action, subject, customerId, detail, previous })),
  );
}

/** `event` as the entry behind `head`. */
export async function chainEvent(
  suite: CryptoSuite,
  head: AuditHead,
  event: AuditEvent,
  nowMs: number,
): Promise<AuditEntry> {
  const entry = {
    number: head.number + 1,
    time: nowMs,
    actor: event.actor,
    action: event.action,
    subject: event.subject ?? null,
    customerId: event.customerId ?? null,
    detail: event.detail ?? {},
    previous: head.hash,
  };
  return { ...entry, hash: await hashEntry(suite, entry) };
}

/** Why `entry` can't follow `head`; undefined when it does. */
export async function breakOf(suite: CryptoSuite, head: AuditHead, entry: AuditEntry): Promise<string | undefined> {
  if (entry.number !== head.number + 1) return `entry ${head.number + 1} is missing`;
  if (!equalBytes(entry.previous, head.hash)) return `entry ${entry.number} does not follow entry ${head.number}`;
  const expected = await hashEntry(suite, entry);
  if (!equalBytes(entry.hash, expected))
    return `entry ${entry.number} was changed (its hash would be ${hex(expected)})`;
  return undefined;
}
