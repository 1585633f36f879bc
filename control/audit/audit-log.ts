import type { Clock } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import type { Result, Statement } from "#lib/runtime";
import { asStatement, type Db, type Query } from "../db/index.ts";
import { readHead } from "./repo.ts";
import { type AuditEntry, type AuditEvent, type AuditHead, chainEvent } from "./rules.ts";

const roundSetsMax = 100;
const triesMax = 50;

/** Writes acts together with the entries that record them. */
export interface AuditLog {
  /**
   * Applies `set` and the entries of `events` as one durable set; resolves with the results of `set`. Concurrent
   * calls are chained in the order they came and share a commit. `expectation` of a Fault
   * `conflict` counts within `set`.
   */
  record(events: AuditEvent | readonly AuditEvent[], ...set: readonly (Statement | Query)[]): Promise<Result[]>;
}

interface Pending {
  readonly events: readonly AuditEvent[];
  readonly set: readonly Statement[];
  readonly tries: number;
  readonly resolve: (results: Result[]) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One chain for all replicas: an entry is inserted only behind the head it was chained to. What lost a race (or stood
 * behind a set that failed) is chained anew and written again.
 */
export function makeAuditLog(deps: { db: Db; suite: CryptoSuite; clock: Clock }): AuditLog {
  let waiting: Pending[] = [];
  let running = false;
  /** As far as this process knows: whoever chained to an old one tries again. */
  let head: AuditHead | undefined;

  async function drain(): Promise<void> {
    while (waiting.length > 0) {
      const round = waiting.splice(0, roundSetsMax);
      try {
        head = await writeRound(round, head ?? (await readHead(deps.db)));
      } catch (error) {
        for (const pending of round) pending.reject(error);
        head = undefined;
      }
    }
    running = false;
  }

  /** The head behind this round, or undefined when it has to be read again. */
  async function writeRound(round: readonly Pending[], start: AuditHead): Promise<AuditHead | undefined> {
    let end = start;
    const outcomes: Promise<"written" | "failed" | Pending>[] = [];
    for (const pending of round) {
      const entries: Statement[] = [];
      for (const event of pending.events) {
        const entry = await chainEvent(deps.suite, end, event, deps.clock.now());
        entries.push(insertBehind(end, entry));
        end = entry;
      }
      outcomes.push(writeOne(pending, entries));
    }
    const settled = await Promise.all(outcomes);
    waiting = [...settled.filter((outcome) => typeof outcome === "object"), ...waiting];
    return settled.every((outcome) => outcome === "written") ? end : undefined;
  }

  /**
   * Settles the caller, or gives the set back when it has to be chained anew. The act stands before its entries: one that fails by
   * itself says so at once, instead of queueing for a place in the chain first.
   */
  async function writeOne(pending: Pending, entries: readonly Statement[]): Promise<"written" | "failed" | Pending> {
    const { set, tries, resolve, reject } = pending;
    try {
      const results = await deps.db.write(...set, ...entries);
      resolve(results.slice(0, set.length));
      return "written";
    } catch (error) {
      const expectation = error instanceof Fault && error.code === "conflict" ? error.detail.expectation : undefined;
      const lostRace = typeof expectation === "number" && expectation >= set.length;
      if (lostRace && tries < triesMax) return { ...pending, tries: tries + 1 };
      reject(lostRace ? new Fault("unavailable", "the audit chain is contended") : error);
      return "failed";
    }
  }

  return {
    record: (events, ...set) =>
      new Promise((resolve, reject) => {
        const list = Array.isArray(events) ? (events as readonly AuditEvent[]) : [events as AuditEvent]; // isArray does not narrow readonly arrays
        waiting.push({ events: list, set: set.map(asStatement), tries: 0, resolve, reject });
        if (running) return;
        running = true;
        void drain();
      }),
  };
}

/** Inserts `entry` only while `head` is the newest. */
function insertBehind(head: AuditHead, entry: AuditEntry): Statement {
  return {
    sql: `INSERT INTO audit_entries (number, time, actor, action, subject, customer_id, detail, previous, hash)
      SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?
      WHERE (SELECT count(*) FROM audit_entries WHERE number > ?) = 0
        AND (? = 0 OR EXISTS (SELECT 1 FROM audit_entries WHERE number = ? AND hash = ?))`,
    params: [
      entry.number,
      entry.time,
      entry.actor,
      entry.action,
      entry.subject,
      entry.customerId,
      JSON.stringify(entry.detail),
      entry.previous,
      entry.hash,
      head.number,
      head.number,
      head.number,
      head.hash,
    ],
    expect: 1,
  };
}
