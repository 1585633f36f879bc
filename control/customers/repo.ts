import { and, eq, gt, sql } from "drizzle-orm";
import type { Db } from "../db/index.ts";
import { customers, licences } from "./tables.ts";

export type CustomerRow = typeof customers.$inferSelect;
export type LicenceRow = typeof licences.$inferSelect;

export const insertCustomer = (db: Db, row: CustomerRow) => db.query.insert(customers).values(row);

export async function customerById(db: Db, id: string): Promise<CustomerRow | undefined> {
  const [row] = await db.query.select().from(customers).where(eq(customers.id, id)).limit(1);
  return row;
}

/** `only`: the one customer that the asking key may see. */
export function listCustomers(db: Db, only: string | undefined, after: string | undefined, limit: number) {
  return db.query
    .select()
    .from(customers)
    .where(
      and(
        only === undefined ? undefined : eq(customers.id, only),
        after === undefined ? undefined : gt(customers.id, after),
      ),
    )
    .orderBy(customers.id)
    .limit(limit);
}

/** Changes the row of exactly this version. */
export const updateCustomer = (
  db: Db,
  id: string,
  version: number,
  change: Partial<Pick<CustomerRow, "name" | "note" | "requireE2e">>,
) =>
  db.query
    .update(customers)
    .set({ ...change, version: version + 1 })
    .where(and(eq(customers.id, id), eq(customers.version, version)));

export const insertLicence = (db: Db, row: LicenceRow) => db.query.insert(licences).values(row);

export async function licenceById(db: Db, id: string): Promise<LicenceRow | undefined> {
  const [row] = await db.query.select().from(licences).where(eq(licences.id, id)).limit(1);
  return row;
}

export function listLicences(db: Db, customerId: string | undefined, after: string | undefined, limit: number) {
  return db.query
    .select()
    .from(licences)
    .where(
      and(
        customerId === undefined ? undefined : eq(licences.customerId, customerId),
        after === undefined ? undefined : gt(licences.id, after),
      ),
    )
    .orderBy(licences.id)
    .limit(limit);
}

/** Changes the row of exactly this version. */
export const updateLicence = (db: Db, id: string, version: number, change: Partial<LicenceRow>) =>
  db.query
    .update(licences)
    .set({ ...change, version: sql`${licences.version} + 1` })
    .where(and(eq(licences.id, id), eq(licences.version, version)));
