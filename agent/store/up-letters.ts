import { type Bytes, type CborValue, concat, encodeCbor } from "#lib/bytes";
import { batchBytes, batchMessagesMax, carriedBodyBytesMax } from "#lib/limits";
import type { Statement } from "#lib/runtime";
import type { UpMessage } from "#lib/session";
import { laneSpan } from "./lane-row.ts";

/** What a row costs beside its body: counted in quotas so that many tiny messages are bounded too. */
export const messageOverheadBytes = 96;

/** A message for the outbox, encoded once: the publisher joins such bytes into entries without reading them again. */
export interface EncodedUp {
  readonly bytes: Bytes;
  /** Stream and position of a down message that this dead or unknown letter carries. */
  readonly letter?: { readonly created: string; readonly position: number };
}

/** Deterministic CBOR of one up message. RangeError when its body is larger than any body may be. */
export function encodeUp(message: UpMessage, created?: string): EncodedUp {
  if (message.body.length > carriedBodyBytesMax) throw new RangeError("a body past its limit");
  const bytes = encodeCbor(definedFields({ ...message, time: Math.floor(message.time) }));
  const { kind, position } = message;
  const isLetter = (kind === "dead" || kind === "unknown") && position !== undefined && created !== undefined;
  return isLetter ? { bytes, letter: { created, position } } : { bytes };
}

/** The fields that are there: CBOR has no undefined. */
export function definedFields(fields: Readonly<Record<string, CborValue | undefined>>): Record<string, CborValue> {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

export const upBytes = (messages: readonly EncodedUp[]): number =>
  messages.reduce((sum, { bytes }) => sum + bytes.length + messageOverheadBytes, 0);

/** Statements that append `messages` to a lane's outbox; numbers are drawn by the database, so a failed set leaves no gap. */
export function appendUp(lane: number, messages: readonly EncodedUp[]): Statement[] {
  return rowsOf(messages).flatMap((row) => {
    const letter = row.find((message) => message.letter !== undefined)?.letter;
    return [
      {
        sql: "UPDATE lane SET next_number = next_number + ?, outbox_n = outbox_n + 1 WHERE id = ?",
        params: [row.length, lane],
        expect: 1,
      },
      {
        sql: `INSERT INTO outbox (k, generation, first, messages, bytes, letter_created, letter, body)
              SELECT id * ${laneSpan} + outbox_n, generation, next_number - ?, ?, ?, ?, ?, ? FROM lane WHERE id = ?`,
        params: [
          row.length,
          row.length,
          upBytes(row),
          letter?.created ?? null,
          letter?.position ?? null,
          concat(...row.map(({ bytes }) => bytes)),
          lane,
        ],
        expect: 1,
      },
    ];
  });
}

/** Messages in rows that each fit one entry. */
function rowsOf(messages: readonly EncodedUp[]): EncodedUp[][] {
  const rows: EncodedUp[][] = [];
  let row: EncodedUp[] = [];
  let bytes = 0;
  for (const message of messages) {
    if (row.length > 0 && (bytes + message.bytes.length > batchBytes || row.length >= batchMessagesMax)) {
      rows.push(row);
      row = [];
      bytes = 0;
    }
    row.push(message);
    bytes += message.bytes.length;
  }
  if (row.length > 0) rows.push(row);
  return rows;
}
