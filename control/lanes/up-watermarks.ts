import { and, eq, gt } from "drizzle-orm";
import type { UpWatermark } from "#lib/session";
import type { Db } from "../db/index.ts";
import { lanes } from "./tables.ts";

/** How far ingest has taken each lane of an agent: part of the answer to an opening (PROTOCOL §6). */
export function upWatermarksOf(db: Db, agentId: string): Promise<UpWatermark[]> {
  return db.query
    .select({ plugin: lanes.plugin, generation: lanes.upGeneration, number: lanes.upNumber })
    .from(lanes)
    .where(and(eq(lanes.agentId, agentId), gt(lanes.upGeneration, 0)))
    .orderBy(lanes.id);
}
