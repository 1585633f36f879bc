import { sql } from "drizzle-orm";
import type { KmsEvent } from "#lib/kms";
import type { Db, Query } from "../db/index.ts";
import { kmsUses } from "./tables.ts";

const minuteMs = 60_000;

/** Counts one use of a key in its minute: written before the key is taken out, so that no use goes without its record. */
export function countKmsUse(db: Db, { operation, name, use }: KmsEvent, nowMs: number): Query {
  const detail = Object.values(use?.detail ?? {}).map(String);
  const purpose = use === undefined ? "" : [use.purpose, use.subject, ...detail].join(" ");
  return db.query
    .insert(kmsUses)
    .values({ minute: nowMs - (nowMs % minuteMs), operation, key: name, purpose, count: 1 })
    .onConflictDoUpdate({
      target: [kmsUses.minute, kmsUses.operation, kmsUses.key, kmsUses.purpose],
      set: { count: sql`${kmsUses.count} + 1` },
    });
}
