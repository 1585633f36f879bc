import type { Watermark } from "#lib/delivery";
import type { Statement } from "#lib/runtime";
import type { LaneStatus } from "#lib/session";
import type { Sealed } from "../../db/index.ts";
import type { Outcome } from "../message-state.ts";

/** Moves a lane's watermark from exactly `from`; unmet when something else has moved it. */
export function moveWatermark(lane: number, from: Watermark, to: Watermark, at: number): Statement {
  return {
    sql: "UPDATE lanes SET up_generation = ?, up_number = ?, up_at = ? WHERE id = ? AND up_generation = ? AND up_number = ?",
    params: [to.generation, to.number, at, lane, from.generation, from.number],
    expect: 1,
  };
}

export interface ReceivedRow {
  readonly lane: number;
  readonly generation: number;
  readonly first: number;
  readonly count: number;
  readonly at: number;
  readonly items: Sealed;
}

export function insertReceived({ lane, generation, first, count, at, items }: ReceivedRow): Statement {
  return {
    sql: "INSERT INTO received (lane, generation, first, count, at, items) VALUES (?, ?, ?, ?, ?, ?)",
    params: [lane, generation, first, count, at, items],
  };
}

/** The site's own watermark: one row whatever number of messages it covers, and it never goes back. */
export function writeStatus(lane: number, status: LaneStatus): Statement[] {
  const { created, stored, applied, at, waiting } = status;
  return [
    {
      sql: `INSERT INTO lane_progress (lane, stream, stored, applied, at) SELECT ?, ?, ?, ?, ?
        WHERE NOT EXISTS (SELECT 1 FROM lane_streams WHERE lane = ? AND stream = ? AND stored >= ? AND applied >= ?)`,
      params: [lane, created, stored, applied, at, lane, created, stored, applied],
    },
    {
      sql: `INSERT INTO lane_streams (lane, stream, stored, applied, at, waiting) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (lane, stream) DO UPDATE SET stored = max(stored, excluded.stored),
          applied = max(applied, excluded.applied), at = excluded.at, waiting = excluded.waiting`,
      params: [lane, created, stored, applied, at, waiting ?? null],
    },
  ];
}

export interface OutcomeRow {
  readonly lane: number;
  readonly message: string;
  readonly outcome: Outcome;
  readonly code: string | null;
  readonly reason: string | null;
  readonly tries: number | null;
  readonly at: number;
}

/** What a letter or a person's decision says of a message; a row that was purged is no fault. */
export function writeOutcome(row: OutcomeRow): Statement {
  return {
    sql: "UPDATE messages SET outcome = ?, code = ?, reason = ?, tries = ?, outcome_at = ? WHERE id = ? AND lane = ?",
    params: [row.outcome, row.code, row.reason, row.tries, row.at, row.message, row.lane],
  };
}

export interface LetterRow {
  readonly lane: number;
  readonly kind: "dead" | "unknown";
  readonly message: string | null;
  readonly code: string;
  readonly reason: string | null;
  readonly tries: number | null;
  readonly position: number | null;
  readonly contentType: string | null;
  readonly size: number;
  readonly at: number;
  readonly storedAt: number;
  readonly origin: string;
  readonly body: Sealed;
}

export function insertLetter(row: LetterRow): Statement {
  return {
    sql: `INSERT INTO letters (lane, kind, message, code, reason, tries, position, content_type, size, at, stored_at, origin, body)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    params: [
      row.lane,
      row.kind,
      row.message,
      row.code,
      row.reason,
      row.tries,
      row.position,
      row.contentType,
      row.size,
      row.at,
      row.storedAt,
      row.origin,
      row.body,
    ],
  };
}

/** Closes the letters of a message whose outcome became known. */
export function settleLetters(lane: number, message: string, settled: "applied" | "dead", at: number): Statement {
  return {
    sql: "UPDATE letters SET settled = ?, settled_at = ? WHERE message = ? AND lane = ? AND kind = 'unknown' AND settled IS NULL",
    params: [settled, at, message, lane],
  };
}

export interface QuarantineRow {
  readonly lane: number;
  readonly kind: "entry" | "message";
  readonly code: string;
  readonly reason: string;
  readonly message: string | null;
  readonly contentType: string | null;
  readonly size: number;
  readonly at: number;
  /** When its site stored it, where it is data that could be released. */
  readonly time?: number | undefined;
  /** Names what it was, so that what comes twice stands here once. */
  readonly origin: string;
  readonly body: Sealed;
}

export function insertQuarantine(row: QuarantineRow): Statement {
  return {
    sql: `INSERT INTO quarantine (lane, kind, code, reason, message, content_type, size, at, time, origin, body)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (origin) DO NOTHING`,
    params: [
      row.lane,
      row.kind,
      row.code,
      row.reason,
      row.message,
      row.contentType,
      row.size,
      row.at,
      row.time ?? null,
      row.origin,
      row.body,
    ],
  };
}
