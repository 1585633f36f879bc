/** Run and killed by a test: publishes numbered entries into an embedded broker and prints each number once it is acknowledged. */
import { embeddedBroker } from "#lib/broker";
import { utf8 } from "#lib/bytes";
import { silentLog } from "#lib/log";
import { commandArguments, migrate, openDatabase, systemClock, writeOut } from "#lib/runtime";
import { brokerMigrations } from "../../migrations/broker/index.ts";

const [path = "", from = "1"] = commandArguments();
const database = await openDatabase({ path, encryptionKey: "0123456789abcdef" });
await migrate(database, brokerMigrations);
const broker = await embeddedBroker({ database, clock: systemClock, log: silentLog });
for (let number = Number(from); ; number++) {
  await broker.publish({ kind: "down", agent: "a", plugin: "p" }, utf8(String(number)), `n${number}`);
  writeOut(`${number}\n`);
}
