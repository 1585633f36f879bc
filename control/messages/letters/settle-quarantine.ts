import { Fault } from "#lib/fault";
import type { Statement } from "#lib/runtime";
import type { Principal } from "../../access/principal.ts";
import type { SliceDeps } from "../../api/index.ts";
import { isUnmet } from "../../db/index.ts";
import { receivedKey } from "../ingest/entry-effects.ts";
import { insertReceived } from "../ingest/statements.ts";
import { cursorText } from "../received/cursor.ts";
import { encodeItems } from "../received/received-items.ts";
import { quarantine, received } from "../tables.ts";
import { letterEvent } from "./payloads.ts";
import { type QuarantineRow, quarantineById } from "./repo.ts";

export interface SettleDeps extends Pick<SliceDeps, "db" | "seals" | "audit" | "clock"> {
  /** Tells readers who wait that there is something new. */
  readonly released: () => void;
}

/**
 * Puts a message behind everything received, in one write with the decision and its audit entry. Resolves with its cursor, the
 * same one again. Fault `conflict` when it was discarded, or is no message of a lane's data.
 */
export async function releaseQuarantined(deps: SettleDeps, by: Principal, row: QuarantineRow): Promise<string> {
  const [, generation, number] = /^\d+\/(\d+)\/(\d+)$/.exec(row.origin) ?? [];
  if (row.settled !== null) return cursorOf(row);
  if (row.time === null || row.message === null || generation === undefined || number === undefined)
    throw new Fault("conflict", "this is no message of a lane: it can only be discarded");
  const now = deps.clock.now();
  const place = { lane: row.lane, generation: Number(generation), first: Number(number), count: 1, at: now };
  const item = {
    number: place.first,
    id: row.message,
    time: row.time,
    body: await deps.seals.open(quarantine.body, row.origin, row.body),
    ...(row.contentType === null ? {} : { contentType: row.contentType }),
  };
  const items = await deps.seals.seal(received.items, receivedKey(place), encodeItems([item]));
  const settle: Statement = {
    sql: `UPDATE quarantine SET settled = 'released', settled_at = ?, received_seq = (SELECT max(seq) FROM received)
      WHERE id = ? AND settled IS NULL RETURNING received_seq`,
    params: [now, row.id],
    expect: 1,
  };
  try {
    const event = letterEvent(by, row, "quarantine.released");
    const [, settled] = await deps.audit.record(event, insertReceived({ ...place, items }), settle);
    deps.released();
    return cursorText({ seq: Number(settled?.rows[0]?.received_seq), index: 0 });
  } catch (error) {
    if (isUnmet(error, 1)) return cursorOf(await quarantineById(deps.db, row.id)); // somebody else decided meanwhile
    throw error;
  }
}

/** Decides that it shall not be taken, with its audit entry. Fault `conflict` when it was released. */
export async function discardQuarantined(deps: SettleDeps, by: Principal, row: QuarantineRow): Promise<void> {
  if (row.settled === "discarded") return;
  const settle: Statement = {
    sql: "UPDATE quarantine SET settled = 'discarded', settled_at = ? WHERE id = ? AND settled IS NULL",
    params: [deps.clock.now(), row.id],
    expect: 1,
  };
  try {
    await deps.audit.record(letterEvent(by, row, "quarantine.discarded"), settle);
  } catch (error) {
    if (!isUnmet(error, 0)) throw error;
    const now = await quarantineById(deps.db, row.id);
    if (now?.settled !== "discarded") throw new Fault("conflict", "this message was released", { cause: error });
  }
}

function cursorOf(row: QuarantineRow | undefined): string {
  if (row?.settled !== "released" || row.receivedSeq === null)
    throw new Fault("conflict", "this message was discarded");
  return cursorText({ seq: row.receivedSeq, index: 0 });
}
