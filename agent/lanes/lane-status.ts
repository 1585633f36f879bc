import { statusIntervalMinMs } from "#lib/limits";
import type { LaneStatus } from "#lib/session";
import type { LaneInbox } from "../store/inbox.ts";

/** How far a down lane has come, as it stands on disk; undefined when nothing ever came. */
export function laneStatus(inbox: LaneInbox, waiting: string | undefined): LaneStatus | undefined {
  const { cursor, settled } = inbox;
  if (cursor === null) return undefined;
  const why = waiting === undefined ? {} : { waiting: waiting.slice(0, 500) };
  // What is settled may still be of a stream before; its own end is told first.
  const current = settled.created === cursor.created || settled.created === "" || settled.position === 0;
  if (!current) {
    const { created, position, at } = settled;
    return { created, stored: position, applied: position, at, ...why };
  }
  const applied = settled.created === cursor.created ? settled.position : 0;
  return { created: cursor.created, stored: inbox.storedPosition, applied, at: settled.at, ...why };
}

/** Decides when a status is worth sending: when it changed, and not more often than 10 times a second. */
export class StatusTurn {
  #sent: LaneStatus | undefined;
  #sentAtMs = Number.NEGATIVE_INFINITY;

  /** ms until `status` may be sent; 0 = now, undefined = it says nothing new. `nowMs` is monotonic. */
  dueInMs(status: LaneStatus | undefined, nowMs: number): number | undefined {
    if (status === undefined || same(status, this.#sent)) return undefined;
    return Math.max(0, this.#sentAtMs + statusIntervalMinMs - nowMs);
  }

  sent(status: LaneStatus, nowMs: number): void {
    this.#sent = status;
    this.#sentAtMs = nowMs;
  }

  /** What was sent did not arrive. */
  lost(): void {
    this.#sent = undefined;
  }
}

function same(a: LaneStatus, b: LaneStatus | undefined): boolean {
  return a.created === b?.created && a.stored === b.stored && a.applied === b.applied && a.waiting === b.waiting;
}
