import { hex } from "#lib/bytes";
import type { Random } from "#lib/clock";
import type { FaultCode } from "#lib/fault";
import type { DownMessage } from "#lib/session";
import { type EncodedUp, encodeUp } from "../store/up-letters.ts";

/** Where a down message stands in its lane. */
export interface Place {
  /** Creation time of the broker's stream. */
  readonly created: string;
  readonly position: number;
}

export interface Letters {
  /** A message that is given up, whole (DESIGN §4). */
  dead(message: DownMessage, place: Place, why: { code: FaultCode; reason: string; tries: number }): EncodedUp;
  /** A message whose outcome can't be known, whole. */
  unknown(message: DownMessage, place: Place, reason: string): EncodedUp;
  /** What became of an unknown one. */
  settled(id: string, place: Place, code: "applied" | "dead"): EncodedUp;
}

const reasonLengthMax = 500;

/** Letters about down messages, for a lane's outbox. `now`: ms since 1970. */
export function makeLetters(random: Random, now: () => number): Letters {
  const base = (kind: "dead" | "unknown" | "settled", about: string, { position }: Place) => ({
    kind,
    id: hex(random(16)),
    time: now(),
    about,
    position,
  });
  const whole = ({ contentType, body }: DownMessage) => ({
    ...(contentType === undefined ? {} : { contentType }),
    body,
  });
  return {
    dead: (message, place, { code, reason, tries }) =>
      encodeUp(
        {
          ...base("dead", message.id, place),
          ...whole(message),
          code,
          reason: reason.slice(0, reasonLengthMax),
          tries,
        },
        place.created,
      ),
    unknown: (message, place, reason) =>
      encodeUp(
        {
          ...base("unknown", message.id, place),
          ...whole(message),
          code: "outcome_unknown",
          reason: reason.slice(0, reasonLengthMax),
        },
        place.created,
      ),
    settled: (id, place, code) => encodeUp({ ...base("settled", id, place), code, body: new Uint8Array() }),
  };
}
