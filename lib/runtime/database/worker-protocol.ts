/** What the database thread and its owner say to one another: arrays and plain values, cheap to clone. */
import type { SqlParameter, SqlValue } from "./database.ts";

/** Texts that the thread learns; those that come later are sent whole each time. */
export const textsMax = 2_000;

/** SQL text (first time; index = how many texts were sent before it) or the index of one sent before; parameters; expected rows or -1. */
export type WireStatement = readonly [sql: string | number, params: readonly SqlParameter[], expect: number];

/** How the driver opens. */
export type WireOpen = {
  readonly busyTimeoutMs: number;
  readonly commitDelayMs: number;
} & ({ readonly path: string; readonly encryptionKey: string } | { readonly url: string; readonly authToken?: string });

/** A failure without any row value: SQLite's or the driver's code and its message cut to names. */
export interface WireFailure {
  readonly code: string;
  readonly constraint?: string;
  readonly expectation?: number;
}

/** Rows affected, or (for a statement that returns rows) columns and rows. */
export type WireResult = number | { readonly columns: readonly string[]; readonly rows: SqlValue[][] };

/** What became of one set. */
export type WireOutcome = { readonly results: readonly WireResult[] } | { readonly failure: WireFailure };

/** Owner → thread. Tickets count up. */
export type WireRequest =
  | readonly [kind: "open", ticket: number, open: WireOpen]
  | readonly [kind: "write", ticket: number, sets: readonly (readonly WireStatement[])[]]
  | readonly [kind: "read", ticket: number, sql: string | number, params: readonly SqlParameter[]]
  | readonly [kind: "close", ticket: number];

/** Thread → owner: one outcome per set (one for everything that is no write). */
export type WireAnswer = readonly [ticket: number, outcomes: readonly WireOutcome[]];
