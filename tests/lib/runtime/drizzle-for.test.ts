import { expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { sqliteTable, text } from "drizzle-orm/sqlite-core";
import { Fault } from "#lib/fault";
import { type Database, drizzleFor } from "#lib/runtime";

const things = sqliteTable("things", { id: text().primaryKey(), secret: text() });

test("what a query throws is our Fault, without the parameters of the query", async () => {
  const fail = () => Promise.reject(new Fault("database", "gone"));
  const broken: Database = { read: fail, values: fail, write: fail, [Symbol.asyncDispose]: async () => undefined };
  const query = drizzleFor(broken);
  const marker = "marker-of-a-secret";
  for (const failing of [
    query.select().from(things).where(eq(things.secret, marker)),
    query.insert(things).values({ id: "1", secret: marker }),
    query.update(things).set({ secret: marker }),
    query.insert(things).values({ id: "1", secret: marker }).returning(),
  ]) {
    const error = await Promise.resolve(failing).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Fault);
    expect(error).toMatchObject({ code: "database", message: "gone" });
    expect(String(error)).not.toContain(marker);
  }
});
