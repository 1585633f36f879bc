import { describe } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Database, openDatabase } from "#lib/runtime";
import { databaseContract } from "./database.ts";

describe("local database", () => {
  databaseContract(async () => {
    const folder = await mkdtemp(join(tmpdir(), "database-"));
    const open: Database[] = [];
    return {
      async connect() {
        const database = await openDatabase({ path: join(folder, "x.db"), encryptionKey: "0123456789abcdef" });
        open.push(database);
        return database;
      },
      async [Symbol.asyncDispose]() {
        for (const database of open) await database[Symbol.asyncDispose]();
        await rm(folder, { recursive: true, force: true });
      },
    };
  });
});
