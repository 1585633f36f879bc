import { describe } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { embeddedBroker } from "#lib/broker";
import { silentLog } from "#lib/log";
import { type Database, migrate, openDatabase, systemClock } from "#lib/runtime";
import { brokerMigrations } from "../../migrations/broker/index.ts";
import { brokerContract } from "./broker.ts";

describe("embedded broker", () => {
  brokerContract(async () => {
    const folder = await mkdtemp(join(tmpdir(), "broker-"));
    let open: { database: Database; broker: AsyncDisposable }[] = [];
    const closeAll = async () => {
      for (const { broker, database } of open.splice(0)) {
        await broker[Symbol.asyncDispose]();
        await database[Symbol.asyncDispose]();
      }
    };
    return {
      laneFullWithin: 48,
      async connect() {
        const database = await openDatabase({ path: join(folder, "broker.db"), encryptionKey: "0123456789abcdef" });
        await migrate(database, brokerMigrations);
        const broker = await embeddedBroker({
          database,
          clock: systemClock,
          log: silentLog,
          laneBytesMax: 3 * 2 ** 20,
          pollIntervalMs: 10,
        });
        open.push({ database, broker });
        return broker;
      },
      crash: closeAll, // the file is all there is; promises 1 and 2 kill whole processes
      async [Symbol.asyncDispose]() {
        await closeAll();
        open = [];
        await rm(folder, { recursive: true, force: true });
      },
    };
  });
});
