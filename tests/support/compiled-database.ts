/** Compiled and run by a test: writes to and reads from an encrypted store, and tries another key. */
import { Fault } from "#lib/fault";
import { commandArguments, migrate, openDatabase, writeOut } from "#lib/runtime";

const [path = ""] = commandArguments();
const database = await openDatabase({ path, encryptionKey: "0123456789abcdef" });
await migrate(database, [{ name: "0000_begin", sql: "CREATE TABLE item (id TEXT)" }]);
await database.write([{ sql: "INSERT INTO item VALUES (?)", params: ["kept"] }]);
writeOut(`${JSON.stringify(await database.read("SELECT id FROM item"))}\n`);
await database[Symbol.asyncDispose]();
const refused = await openDatabase({ path, encryptionKey: "another key of this length" }).catch(
  (error: unknown) => error,
);
writeOut(`${refused instanceof Fault ? refused.code : "opened"}\n`);
