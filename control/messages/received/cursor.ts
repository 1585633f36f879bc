import { Fault } from "#lib/fault";

/** A place in the order of all that was received: entry, and message in it. */
export interface Cursor {
  readonly seq: number;
  readonly index: number;
}

/** Before the first. */
export const beginning: Cursor = { seq: 0, index: -1 };

/** As the API shows it. There is no entry 0, so that `0.0` stands before the first, too. */
export const cursorText = ({ seq, index }: Cursor) => `${seq}.${Math.max(index, 0)}`;

/** The cursor of this text; `beginning` without one. Fault `bad_request` when it is none of ours. */
export function parseCursor(text: string | undefined): Cursor {
  if (text === undefined || text === "") return beginning;
  const [, seq, index] = /^(\d{1,15})\.(\d{1,4})$/.exec(text) ?? [];
  if (seq === undefined || index === undefined) throw new Fault("bad_request", "not a cursor of this API");
  return { seq: Number(seq), index: Number(index) };
}
