import { Fault } from "#lib/fault";
import type { Database, Result, SqlParameter, SqlRow, SqlValue, Statement } from "./database.ts";
import { faultOf } from "./database-faults.ts";
import {
  textsMax,
  type WireAnswer,
  type WireOpen,
  type WireOutcome,
  type WireRequest,
  type WireResult,
  type WireStatement,
} from "./worker-protocol.ts";
import { workerUrl } from "./worker-url.ts";
import { WriteQueue } from "./write-queue.ts";

interface Waiter {
  resolve(outcomes: readonly WireOutcome[]): void;
  reject(error: unknown): void;
}

/** The owner's side of a database thread. */
export class DatabaseThread implements Database {
  readonly #worker: Worker;
  readonly #waiters = new Map<number, Waiter>();
  /** SQL texts that the thread has, with their numbers. */
  readonly #texts = new Map<string, number>();
  readonly #queue: WriteQueue;
  #ticket = 0;
  #answered = false;
  /** Why nothing more is taken. */
  #ended: Fault | undefined;
  #closing: Promise<void> | undefined;

  constructor() {
    this.#queue = new WriteQueue((sets) =>
      this.#ask((ticket) => ["write", ticket, sets.map((set) => this.#wire(set))]),
    );
    this.#worker = new Worker(workerUrl());
    this.#worker.onmessage = (event: MessageEvent<WireAnswer>) => {
      const [ticket, outcomes] = event.data;
      this.#answered = true;
      const waiter = this.#waiters.get(ticket);
      this.#waiters.delete(ticket);
      waiter?.resolve(outcomes);
    };
    const lost = () => this.#end(new Fault("database", "the database thread ended"));
    this.#worker.addEventListener("error", (event) => {
      event.preventDefault();
      if (this.#answered) lost();
      else this.#end(notStarted(event.message));
    });
    this.#worker.addEventListener("messageerror", lost);
    this.#worker.addEventListener("close", lost);
  }

  async open(open: WireOpen): Promise<void> {
    only(await this.#ask((ticket) => ["open", ticket, open]));
  }

  async read<Row extends object = SqlRow>(sql: string, params: readonly SqlParameter[] = []): Promise<Row[]> {
    const { columns, rows } = await this.#read(sql, params);
    return rows.map((row) => rowOf(columns, row) as Row); // the caller says what its columns hold
  }

  async values(sql: string, params: readonly SqlParameter[] = []): Promise<SqlValue[][]> {
    return (await this.#read(sql, params)).rows;
  }

  async write(set: readonly Statement[], { later = false }: { readonly later?: boolean } = {}): Promise<Result[]> {
    if (this.#closing !== undefined) throw new Fault("closed", "the database is closed");
    if (set.length === 0) return [];
    for (const { params = [] } of set) params.forEach(checkParameter); // before it shares a message with other sets
    return resultsOf(await this.#queue.add(set, later));
  }

  /** Ends the thread at once, as a crash would; who waits is told. */
  kill(): void {
    this.#worker.terminate();
    this.#end(new Fault("database", "the database thread ended"));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#queue.drained();
    try {
      await this.#ask((ticket) => ["close", ticket]);
    } catch {
      // The thread is gone already: nothing is left to be closed.
    }
    this.#end(new Fault("closed", "the database is closed"));
    this.#worker.terminate();
  }

  async #read(sql: string, params: readonly SqlParameter[]) {
    params.forEach(checkParameter);
    const outcomes = await this.#ask((ticket) => ["read", ticket, this.#text(sql), params.map(owned)]);
    const [result] = only(outcomes);
    if (result === undefined || typeof result === "number") throw new TypeError("a read must return rows");
    return result;
  }

  #ask(request: (ticket: number) => WireRequest): Promise<readonly WireOutcome[]> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(this.#ended);
        return;
      }
      this.#ticket += 1;
      this.#waiters.set(this.#ticket, { resolve, reject });
      this.#worker.postMessage(request(this.#ticket));
    });
  }

  #wire(set: readonly Statement[]): WireStatement[] {
    return set.map(({ sql, params = [], expect = -1 }) => [this.#text(sql), params.map(owned), expect]);
  }

  /** The text's number; the text itself when the thread is to learn it now, or (past the limit) always. */
  #text(sql: string): string | number {
    const known = this.#texts.get(sql);
    if (known !== undefined) return known;
    if (this.#texts.size < textsMax) this.#texts.set(sql, this.#texts.size);
    return sql;
  }

  #end(fault: Fault): void {
    if (this.#ended !== undefined) return;
    this.#ended = fault;
    for (const waiter of this.#waiters.values()) waiter.reject(fault);
    this.#waiters.clear();
  }
}

/** A view of a larger buffer would be cloned with the whole of it. */
function owned(value: SqlParameter): SqlParameter {
  return value instanceof Uint8Array && value.byteLength !== value.buffer.byteLength ? value.slice() : value;
}

function checkParameter(value: unknown): void {
  if (value === null || value instanceof Uint8Array) return;
  if (typeof value === "number" && Number.isFinite(value)) return;
  if (typeof value === "string" && value.includes("\0"))
    throw new Fault("invalid", "a text with a NUL character can't be stored: it would end there when read");
  if (typeof value === "string" || typeof value === "bigint" || typeof value === "boolean") return;
  throw new TypeError("a parameter is null, a finite number, bigint, boolean, text or bytes");
}

function only(outcomes: readonly WireOutcome[]): readonly WireResult[] {
  const [outcome] = outcomes;
  if (outcome === undefined) throw new TypeError("an answer without an outcome");
  if ("failure" in outcome) throw faultOf(outcome.failure);
  return outcome.results;
}

function resultsOf(outcome: WireOutcome): Result[] {
  return only([outcome]).map((result) =>
    typeof result === "number"
      ? { rowsAffected: result, rows: [] }
      : { rowsAffected: result.rows.length, rows: result.rows.map((row) => rowOf(result.columns, row)) },
  );
}

function rowOf(columns: readonly string[], values: readonly SqlValue[]): SqlRow {
  const row: Record<string, SqlValue> = {};
  for (let index = 0; index < columns.length; index++) row[columns[index] ?? ""] = values[index] ?? null;
  return row;
}

/** Nothing was asked yet, so what the runtime says is about its own files. */
function notStarted(why: string): Fault {
  return new Fault(
    "database",
    "the database can't be loaded: it is unpacked into the temporary directory, which must allow writing and execution; " +
      "BUN_TMPDIR names another",
    { cause: why },
  );
}
