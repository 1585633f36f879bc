import { describe } from "bun:test";
import { type Database, openDatabase } from "#lib/runtime";
import { startHrana } from "../support/hrana-server.ts";
import { databaseContract } from "./database.ts";

describe("remote database", () => {
  databaseContract(async () => {
    const server = startHrana();
    const open: Database[] = [];
    return {
      async connect() {
        const database = await openDatabase({ url: server.url });
        open.push(database);
        return database;
      },
      async [Symbol.asyncDispose]() {
        for (const database of open) await database[Symbol.asyncDispose]();
        await server[Symbol.asyncDispose]();
      },
    };
  });
});
