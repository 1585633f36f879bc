import type { SqlParameter } from "./database.ts";
import type { WireOutcome, WireResult } from "./worker-protocol.ts";

/** A statement whose text is known. `expect` -1 = any number of rows. */
export interface BoundStatement {
  readonly sql: string;
  readonly params: readonly SqlParameter[];
  readonly expect: number;
}

/** What the database thread drives: a local file or a remote server. */
export interface Driver {
  read(sql: string, params: readonly SqlParameter[]): Promise<WireResult> | WireResult;
  /** Applies each set whole or not at all, all in one durable commit where they can; never throws for one set's sake. */
  write(sets: readonly (readonly BoundStatement[])[]): Promise<WireOutcome[]> | WireOutcome[];
  close(): void;
}
