import { and, eq, gt, isNull } from "drizzle-orm";
import type { Bytes } from "#lib/bytes";
import type { Db } from "../db/index.ts";
import { apiKeys } from "./tables.ts";

export type ApiKeyRow = typeof apiKeys.$inferSelect;

export const insertKey = (db: Db, row: typeof apiKeys.$inferInsert) => db.query.insert(apiKeys).values(row);

export async function keyByHash(db: Db, hash: Bytes): Promise<ApiKeyRow | undefined> {
  const [row] = await db.query.select().from(apiKeys).where(eq(apiKeys.hash, hash)).limit(1);
  return row;
}

export async function keyById(db: Db, id: string): Promise<ApiKeyRow | undefined> {
  const [row] = await db.query.select().from(apiKeys).where(eq(apiKeys.id, id)).limit(1);
  return row;
}

export function listKeys(db: Db, after: string | undefined, limit: number): Promise<ApiKeyRow[]> {
  return db.query
    .select()
    .from(apiKeys)
    .where(after === undefined ? undefined : gt(apiKeys.id, after))
    .orderBy(apiKeys.id)
    .limit(limit);
}

export async function hasKeys(db: Db): Promise<boolean> {
  return (await db.query.select({ id: apiKeys.id }).from(apiKeys).limit(1)).length > 0;
}

export const revokeKey = (db: Db, id: string, revokedAt: number) =>
  db.query
    .update(apiKeys)
    .set({ revokedAt })
    .where(and(eq(apiKeys.id, id), isNull(apiKeys.revokedAt)));

export const touchKey = (db: Db, id: string, lastUsedAt: number) =>
  db.query.update(apiKeys).set({ lastUsedAt }).where(eq(apiKeys.id, id));
