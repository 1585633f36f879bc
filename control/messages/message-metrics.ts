import { Counter, Gauge, type Registry } from "#lib/metrics";
import type { Db } from "../db/index.ts";

/** What the data side counts. */
export interface MessageMetrics {
  /** Messages of one push: taken, or refused with a code. */
  pushed(result: string, count: number): void;
  /** What ingest has stored. */
  ingested(counts: { readonly entries: number; readonly messages: number }): void;
  /** One entry that ingest refused. */
  quarantined(code: string): void;
}

/** Counts nothing; for tests and parts without metrics. */
export const noMessageMetrics: MessageMetrics = {
  pushed: () => undefined,
  ingested: () => undefined,
  quarantined: () => undefined,
};

/** Prometheus counters in `registry`; the gauge is read when it is asked for. */
export function messageMetrics(registry: Registry, db: Db): MessageMetrics {
  const registers = [registry];
  const pushed = new Counter({
    name: "solaris_messages_pushed_total",
    help: "Messages pushed by their callers, by what became of the push",
    labelNames: ["result"],
    registers,
  });
  const received = new Counter({ name: "solaris_messages_received_total", help: "Messages that came up", registers });
  const entries = new Counter({
    name: "solaris_entries_received_total",
    help: "Broker entries that came up",
    registers,
  });
  const quarantined = new Counter({
    name: "solaris_entries_quarantined_total",
    help: "Broker entries that could not be taken, by reason",
    labelNames: ["code"],
    registers,
  });
  new Gauge({
    name: "solaris_push_entries_unplaced",
    help: "Entries whose publish is under way or was abandoned",
    registers,
    async collect() {
      const [row] = await db.read<{ count: number }>("SELECT count(*) AS count FROM push_entries WHERE seq IS NULL");
      this.set(row?.count ?? 0);
    },
  });
  return {
    pushed: (result, count) => pushed.inc({ result }, count),
    ingested(counts) {
      received.inc(counts.messages);
      entries.inc(counts.entries);
    },
    quarantined: (code) => quarantined.inc({ code }),
  };
}
