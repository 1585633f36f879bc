import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { eq } from "drizzle-orm";
import { blob, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import fc from "fast-check";
import { type Database, drizzleFor, migrate, type SqlParameter, toStatement } from "#lib/runtime";
import { caught, expectFault } from "../support/faults.ts";

/** A store for one test. */
export interface DatabaseWorld extends AsyncDisposable {
  /** A connection as another process would have it. The world disposes of it. */
  connect(): Promise<Database>;
}

const schema = `CREATE TABLE item (id TEXT PRIMARY KEY, version INTEGER NOT NULL DEFAULT 0, body BLOB, note TEXT UNIQUE,
  CONSTRAINT small CHECK (version < 100)); CREATE TABLE child (item TEXT REFERENCES item (id));`;
const insert = (id: string, note: string | null = null) => ({
  sql: "INSERT INTO item (id, note) VALUES (?, ?)",
  params: [id, note],
});

/** What every driver of `openDatabase` keeps (DESIGN §6). */
export function databaseContract(makeWorld: () => Promise<DatabaseWorld>): void {
  let world: DatabaseWorld;
  let database: Database;
  const ids = async () => (await database.values("SELECT id FROM item ORDER BY id")).map(([id]) => id);
  beforeEach(async () => {
    world = await makeWorld();
    database = await world.connect();
    await migrate(database, [{ name: "0000_begin", sql: schema }]);
  });
  afterEach(async () => {
    await world[Symbol.asyncDispose]();
  });

  describe("values", () => {
    test("every kind comes back as it went in", async () => {
      const values = [null, 0, -1, 1.5, 2 ** 53 - 1, -(2 ** 53 - 1), "ä\n€", new Uint8Array([0, 255])];
      const [row] = await database.values(`SELECT ${values.map(() => "?").join(", ")}`, values);
      expect(row).toEqual(values as never);
      expect(row?.[7]).toBeInstanceOf(Uint8Array);
      const kinds = await database.values("SELECT typeof(?), typeof(?), typeof(?), typeof(?)", [1, 1.5, true, 7n]);
      expect(kinds).toEqual([["integer", "real", "integer", "integer"]]);
    });

    test("bytes that are a part of a larger buffer are that part alone", async () => {
      const whole = new Uint8Array(1_000).fill(7);
      const [row] = await database.values("SELECT ?, length(?)", [whole.subarray(10, 20), whole.subarray(10, 20)]);
      expect(row).toEqual([new Uint8Array(10).fill(7), 10]);
    });

    test("a text that would come back shortened is refused", async () => {
      await expectFault(database.values("SELECT ?", ["a\u0000b"]), "invalid");
      await expectFault(database.write([{ sql: "SELECT ?", params: ["\u0000"] }]), "invalid");
    });

    test("any value round-trips through a column", async () => {
      const value = fc.oneof(
        fc.constant(null),
        fc.maxSafeInteger(),
        fc.string({ unit: "grapheme" }).filter((one) => !one.includes("\0")),
        fc.uint8Array({ maxLength: 300 }),
        fc.double({ noNaN: true, noDefaultInfinity: true }).filter((number) => Math.abs(number) < 2 ** 53),
      );
      await fc.assert(
        fc.asyncProperty(value, async (one) => {
          const [row] = await database.values("SELECT ?", [one]);
          expect(row?.[0]).toEqual((Object.is(one, -0) ? 0 : one) as never);
        }),
        { numRuns: 60 },
      );
    });

    test("what SQLite has no value for, or too few parameters, is the caller's bug", async () => {
      const wrong: unknown[] = [undefined, Number.NaN, Number.POSITIVE_INFINITY, {}, Symbol("x"), 2n ** 60n];
      for (const value of wrong)
        expect(await caught(database.write([{ sql: "SELECT ?", params: [value as SqlParameter] }]))).toBeInstanceOf(
          TypeError,
        );
    });
  });

  describe("sets", () => {
    test("a set is applied whole or not at all, and only the guilty one fails", async () => {
      await database.write([insert("there", "taken")]);
      const sets = [
        database.write([insert("a1"), insert("a2")]),
        database.write([insert("b1"), insert("there")]),
        database.write([insert("c1"), insert("c2", "taken")]),
        database.write([insert("d1")]),
        database.write([{ sql: "INSERT INTO nowhere VALUES (1)" }]),
        database.write([insert("e1")]),
      ];
      const outcomes = await Promise.allSettled(sets);
      expect(outcomes.map(({ status }) => status)).toEqual([
        "fulfilled",
        "rejected",
        "rejected",
        "fulfilled",
        "rejected",
        "fulfilled",
      ]);
      expect(await ids()).toEqual(["a1", "a2", "d1", "e1", "there"]);
    });

    test("results tell rows changed and rows returned", async () => {
      const results = await database.write([
        insert("a"),
        insert("b"),
        { sql: "UPDATE item SET version = version + 1" },
        { sql: "UPDATE item SET version = 9 WHERE id = ? RETURNING id, version", params: ["a"] },
        { sql: "DELETE FROM item WHERE id = ?", params: ["nobody"] },
      ]);
      expect(results.map(({ rowsAffected }) => rowsAffected)).toEqual([1, 1, 2, 1, 0]);
      expect(results[3]?.rows).toEqual([{ id: "a", version: 9 }]);
    });

    test("an expectation that is not met takes its set back", async () => {
      await database.write([insert("a")]);
      const update = (version: number) => ({
        sql: "UPDATE item SET version = version + 1 WHERE id = 'a' AND version = ?",
        params: [version],
        expect: 1,
      });
      const exists = (id: string) => ({ sql: "SELECT 1 FROM item WHERE id = ?", params: [id], expect: 1 });
      await database.write([exists("a"), update(0), insert("b")]);
      const fault = await expectFault(database.write([insert("c"), update(0), insert("d")]), "conflict");
      expect(fault.detail.expectation).toBe(1);
      const second = await expectFault(database.write([insert("e"), exists("nobody")]), "conflict");
      expect(second.detail.expectation).toBe(1);
      expect(await ids()).toEqual(["a", "b"]);
    });

    test("of many optimistic writers each step is taken once", async () => {
      await database.write([insert("a")]);
      const other = await world.connect();
      const step = async (via: Database) => {
        for (;;) {
          const [row] = await via.read<{ version: number }>("SELECT version FROM item WHERE id = 'a'");
          const version = row?.version ?? 0;
          try {
            await via.write([
              {
                sql: "UPDATE item SET version = ? WHERE id = 'a' AND version = ?",
                params: [version + 1, version],
                expect: 1,
              },
            ]);
            return;
          } catch (error) {
            if (!(error instanceof Error && "code" in error && error.code === "conflict")) throw error;
          }
        }
      };
      await Promise.all([database, other, database, other].flatMap((via) => [step(via), step(via), step(via)]));
      expect(await database.values("SELECT version FROM item")).toEqual([[12]]);
    });

    test("a large set is applied too, and an empty one is nothing", async () => {
      await database.write(Array.from({ length: 700 }, (_, index) => insert(`n${index}`)));
      expect(await database.values("SELECT count(*) FROM item")).toEqual([[700]]);
      expect(await database.write([])).toEqual([]);
    });
  });

  describe("faults", () => {
    test("say which constraint, never a value", async () => {
      await database.write([insert("secret-id", "secret-note")]);
      const unique = await expectFault(database.write([insert("other", "secret-note")]), "conflict");
      expect(unique.detail.constraint).toBe("item.note");
      const primary = await expectFault(database.write([insert("secret-id")]), "conflict");
      expect(primary.detail.constraint).toBe("item.id");
      const check = { sql: "UPDATE item SET version = 100" };
      expect((await expectFault(database.write([check]), "invalid")).detail.constraint).toBe("small");
      const syntax = await expectFault(database.read("SELEC 'secret-value'"), "database");
      for (const fault of [unique, primary, syntax])
        expect(JSON.stringify([fault.message, fault.detail, fault.stack])).not.toContain("secret");
    });

    test("after disposing nothing is taken, and disposing twice is fine", async () => {
      const other = await world.connect();
      const pending = other.write([insert("last")]);
      await other[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();
      await pending;
      await expectFault(other.read("SELECT 1"), "closed");
      await expectFault(other.write([insert("late")]), "closed");
      expect(await ids()).toEqual(["last"]);
    });
  });

  describe("migrations", () => {
    const steps = [
      { name: "0000_begin", sql: schema },
      {
        name: "0001_more",
        sql: "CREATE TABLE more (x TEXT); -- a comment; with a semicolon\nINSERT INTO more VALUES (';');",
      },
    ];

    test("each step once, in order, by whoever comes first", async () => {
      const other = await world.connect();
      const done = await Promise.all([migrate(database, steps), migrate(other, steps), migrate(other, steps)]);
      expect(done.flatMap(({ applied }) => applied)).toEqual(["0001_more"]);
      expect(await other.values("SELECT x FROM more")).toEqual([[";"]]);
      expect((await migrate(database, steps)).applied).toEqual([]);
    });

    test("a database of a newer program, or with another history, is refused", async () => {
      await migrate(database, steps);
      const fault = await expectFault(migrate(database, steps.slice(0, 1)), "schema_newer");
      expect(fault.detail.step).toBe("0001_more");
      await expectFault(migrate(database, [{ name: "0000_begin", sql: "SELECT 1" }, ...steps.slice(1)]), "database");
    });

    test("a step that fails leaves nothing of it", async () => {
      const bad = { name: "0002_bad", sql: "CREATE TABLE half (x); INSERT INTO nowhere VALUES (1);" };
      await expectFault(migrate(database, [...steps, bad]), "database");
      await expectFault(database.read("SELECT * FROM half"), "database");
      expect(await database.values("SELECT count(*) FROM migration")).toEqual([[2]]);
    });
  });

  describe("drizzle", () => {
    const item = sqliteTable("item", {
      id: text().primaryKey(),
      version: integer().notNull().default(0),
      body: blob({ mode: "buffer" }),
      note: text(),
    });

    test("typed reads and writes, and queries as statements of a set", async () => {
      const drizzle = drizzleFor(database);
      await database.write([
        toStatement(drizzle.insert(item).values({ id: "a", body: Buffer.from([1, 2]) }), 1),
        toStatement(drizzle.insert(item).values({ id: "b", note: "n" })),
      ]);
      expect(await drizzle.select({ id: item.id }).from(item).where(eq(item.note, "n"))).toEqual([{ id: "b" }]);
      expect(await drizzle.select().from(item).where(eq(item.id, "nobody")).get()).toBeUndefined();
      const [one] = await drizzle.select().from(item).where(eq(item.id, "a"));
      expect([...(one?.body ?? [])]).toEqual([1, 2]);
      const returned = await drizzle.update(item).set({ version: 3 }).where(eq(item.id, "b")).returning();
      expect(returned[0]?.version).toBe(3);
      await drizzle.delete(item);
      expect(await ids()).toEqual([]);
    });
  });
}
