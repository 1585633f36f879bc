/** Numbered rows that came as one answer over one connection. */
export interface Rows {
  readonly numbers: readonly number[];
  /** Whether the same connection of the service served the first and the last. */
  readonly oneConnection: boolean;
  /** The longest time between two rows, ms. */
  readonly longestPauseMs: number;
}

/** A use of the service that goes on until it is cut. */
export interface Endless {
  /** Resolves when the service has taken it. */
  readonly begun: Promise<void>;
  /** Resolves with what the client was told when it ended. */
  readonly ended: Promise<string>;
}

/** The service in the datacenter, and what a client at the site does with it. `port` is where the client finds it. */
export interface Service extends AsyncDisposable {
  /** What it is, for people. */
  readonly what: string;
  /** Where it listens, in its own network. */
  readonly port: number;
  /** Folder in which it keeps what it is sent. */
  readonly data: string;
  /** What a person at the site types. */
  command(port: number): string;
  /** Asks `count` small questions on one connection; how many were answered rightly. */
  ask(port: number, count: number): Promise<number>;
  /** Has a text kept, on disk; resolves with the text as the service gives it back. */
  keep(port: number, text: string): Promise<string>;
  /** Sends a text, which may be large, and resolves with what comes back: the same. */
  echo(port: number, text: string): Promise<string>;
  /** Asks for `count` rows in one go; `arrived` hears how many have come. */
  rows(port: number, count: number, arrived: (count: number) => void): Promise<Rows>;
  endless(port: number): Endless;
}

/** A row is as long as a page of text, so that thousands don't fit into what is kept on the way. */
export const rowBytes = 2_000;
/** How long the service takes to make one, ms: the answer takes seconds, as a report does. */
export const rowMs = 2;

/** Counts rows as their lines come. */
export class RowReader {
  readonly numbers: number[] = [];
  longestPauseMs = 0;
  #lastMs: number | undefined;
  readonly #arrived: (count: number) => void;

  constructor(arrived: (count: number) => void) {
    this.#arrived = arrived;
  }

  take(number: number): void {
    const now = performance.now();
    if (this.#lastMs !== undefined) this.longestPauseMs = Math.max(this.longestPauseMs, now - this.#lastMs);
    this.#lastMs = now;
    this.numbers.push(number);
    this.#arrived(this.numbers.length);
  }
}
