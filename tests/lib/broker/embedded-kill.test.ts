import { expect, setDefaultTimeout, test } from "bun:test";
import { resolve } from "node:path";
import { embeddedBroker } from "#lib/broker";
import { silentLog } from "#lib/log";
import { migrate, openDatabase, systemClock } from "#lib/runtime";
import { brokerMigrations } from "../../../migrations/broker/index.ts";
import { collect } from "../../support/entry-collector.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

setDefaultTimeout(30_000);

const publisher = resolve(import.meta.dir, "../../support/embedded-publisher.ts");

test("a publisher killed at any moment, five times: what it was told is stored is there, once, in order", async () => {
  await using folder = await temporaryFolder();
  const path = folder.file("broker.db");
  let acknowledged = 0;
  for (let kill = 1; kill <= 5; kill++) {
    const child = Bun.spawn([process.execPath, publisher, path, String(acknowledged + 1)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let printed = "";
    for await (const part of child.stdout) {
      printed += new TextDecoder().decode(part);
      if (printed.split("\n").length > 20 * kill) child.kill("SIGKILL");
    }
    await child.exited;
    acknowledged = Number(printed.split("\n").slice(0, -1).at(-1) ?? acknowledged);
  }
  await using database = await openDatabase({ path, encryptionKey: "0123456789abcdef" });
  await migrate(database, brokerMigrations);
  await using broker = await embeddedBroker({ database, clock: systemClock, log: silentLog });
  const reader = await collect(broker, { kind: "down", agent: "a", plugin: "p" }, { confirmAll: true });
  await reader.reached(acknowledged);
  expect(reader.texts().slice(0, acknowledged)).toEqual(
    Array.from({ length: acknowledged }, (_, index) => String(index + 1)),
  );
  expect(acknowledged).toBeGreaterThanOrEqual(100);
}, 60_000);
