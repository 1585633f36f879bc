import { type Client, createClient, LibsqlBatchError } from "@libsql/client/web";
import { bindable } from "./bindable.ts";
import type { SqlParameter, SqlValue } from "./database.ts";
import { ExpectationError, failureOf } from "./database-faults.ts";
import type { BoundStatement, Driver } from "./driver.ts";
import type { WireOutcome, WireResult } from "./worker-protocol.ts";

/** How a remote server is reached; see `DatabaseOptions`. */
export interface RemoteOptions {
  readonly url: string;
  readonly authToken?: string;
}

/** A statement that fails when the one before it had another number of rows: a server takes no condition inside a batch. */
function guardOf({ sql, params, expect }: BoundStatement) {
  const reads = /^\s*(select|with|values)\b/i.test(sql);
  const affected = reads ? `(SELECT count(*) FROM (${sql}))` : "changes()";
  const args = [...(reads ? params : []), expect].map(bindable);
  return { sql: `SELECT CASE WHEN ${affected} = ? THEN 1 ELSE json('expectation') END`, args };
}

const roundsTogetherMax = 3;

/** A libSQL server over HTTP or WebSocket. `encryptionKey` does not exist here: sensitive columns are sealed by KMS. */
export class RemoteDriver implements Driver {
  readonly #client: Client;

  constructor(options: RemoteOptions) {
    this.#client = createClient({ ...options, intMode: "number" });
  }

  async read(sql: string, params: readonly SqlParameter[]): Promise<WireResult> {
    return wireResult(await this.#client.execute({ sql, args: params.map(bindable) }));
  }

  /** The guilty set is taken out and the others go again; after a few rounds each goes alone. */
  async write(sets: readonly (readonly BoundStatement[])[]): Promise<WireOutcome[]> {
    const outcomes = new Array<WireOutcome>(sets.length);
    let waiting = sets.map((set, index) => ({ set, index }));
    for (let round = 0; waiting.length > 0; round++) {
      const group = round < roundsTogetherMax ? waiting : waiting.slice(0, 1);
      const { results, guilty, failure } = await this.#batch(group.map(({ set }) => set));
      const settled = failure === undefined ? group : guilty === undefined ? group : group.slice(guilty, guilty + 1);
      settled.forEach(({ index }, place) => {
        outcomes[index] = failure === undefined ? { results: results[place] ?? [] } : { failure };
      });
      waiting = waiting.filter((item) => !settled.includes(item));
    }
    return outcomes;
  }

  close(): void {
    this.#client.close();
  }

  async #batch(sets: readonly (readonly BoundStatement[])[]) {
    const steps = sets.flatMap((set, owner) =>
      set.flatMap((statement, index) => {
        const { sql, params, expect } = statement;
        const itself = { owner, index, guards: false, stmt: { sql, args: params.map(bindable) } };
        return expect < 0 ? [itself] : [itself, { owner, index, guards: true, stmt: guardOf(statement) }];
      }),
    );
    try {
      const all = await this.#client.batch(
        steps.map(({ stmt }) => stmt),
        "write",
      );
      const results = sets.map((_, owner) =>
        all.flatMap((result, at) => (steps[at]?.owner === owner && !steps[at].guards ? [wireResult(result)] : [])),
      );
      return { results };
    } catch (error) {
      const step = error instanceof LibsqlBatchError ? steps[error.statementIndex] : undefined;
      const failure = failureOf(step?.guards ? new ExpectationError(step.index) : error);
      return { results: [], failure, guilty: step?.owner };
    }
  }
}

function wireResult(result: Awaited<ReturnType<Client["execute"]>>): WireResult {
  if (result.columns.length === 0) return result.rowsAffected;
  const { columns } = result;
  return { columns, rows: result.rows.map((row) => columns.map((_, index) => sqlValue(row[index]))) };
}

function sqlValue(cell: unknown): SqlValue {
  if (cell === null || cell === undefined) return null;
  if (typeof cell === "number" || typeof cell === "string") return cell;
  if (cell instanceof ArrayBuffer) return new Uint8Array(cell);
  throw new TypeError("a value of an unknown kind was read");
}
