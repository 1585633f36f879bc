import { expect, test } from "bun:test";
import fc from "fast-check";
import { countPlaceholders } from "../../../lib/runtime/database/placeholders.ts";
import { splitStatements } from "../../../lib/runtime/database/split-statements.ts";

test("statements are split at their own semicolons only", () => {
  const trigger = `CREATE TRIGGER t AFTER INSERT ON a WHEN new.x = 'END;' BEGIN
    UPDATE a SET x = CASE WHEN x THEN 1 ELSE 2 END; -- not here; either
    DELETE FROM b;
  END`;
  const parts = [
    "CREATE TABLE a (x TEXT DEFAULT ';', \"y;z\" TEXT)",
    trigger,
    "/* ; */ SELECT 1",
    "INSERT INTO a VALUES ('it''s;')",
  ];
  expect(splitStatements(`${parts.join(";\n")};\n-- the end;\n`)).toEqual(parts);
  expect(splitStatements(" ;; -- nothing\n;")).toEqual([]);
});

test("whatever a text holds, it ends no statement", () => {
  fc.assert(
    fc.property(fc.array(fc.string(), { minLength: 1, maxLength: 5 }), (texts) => {
      const statements = texts.map((text) => `SELECT '${text.replaceAll("'", "''")}'`);
      expect(splitStatements(statements.join(";"))).toEqual(statements);
    }),
  );
});

test("placeholders are counted outside of texts, names and comments", () => {
  expect(countPlaceholders("SELECT ?, '?', \"?\", [?], `?` -- ?\n, ? /* ? */")).toBe(2);
  for (const sql of ["SELECT ?1", "SELECT :name", "SELECT @name", "SELECT $name"])
    expect(() => countPlaceholders(sql)).toThrow(TypeError);
});
