import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdir, readFile, stat } from "node:fs/promises";
import { migrate, monitorLoopLag, openDatabase, systemClock } from "#lib/runtime";
import { DatabaseThread } from "../../../lib/runtime/database/database-thread.ts";
import { expectFault } from "../../support/faults.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

setDefaultTimeout(30_000);

const encryptionKey = "0123456789abcdef0123456789abcdef";
const table = { name: "0000_begin", sql: "CREATE TABLE item (id TEXT PRIMARY KEY, body BLOB)" };
const insert = (id: string, bytes = 10) => ({
  sql: "INSERT INTO item VALUES (?, ?)",
  params: [id, new Uint8Array(bytes)],
});

describe("local database file", () => {
  test("is private, and holds no plaintext, its log neither", async () => {
    await using folder = await temporaryFolder();
    const path = folder.file("sub/x.db");
    await using database = await openDatabase({ path, encryptionKey });
    await migrate(database, [table]);
    await database.write([insert("MARKER-OF-THIS-TEST")]);
    const names = await readdir(folder.file("sub"));
    expect(names.sort()).toEqual(["x.db", "x.db-shm", "x.db-wal"]);
    for (const name of names) {
      expect((await stat(folder.file(`sub/${name}`))).mode & 0o077).toBe(0);
      expect((await readFile(folder.file(`sub/${name}`))).includes("MARKER-OF-THIS-TEST")).toBe(false);
    }
    const [settings] = await database.values(
      "SELECT (SELECT journal_mode FROM pragma_journal_mode), (SELECT synchronous FROM pragma_synchronous)",
    );
    expect(settings).toEqual(["wal", 2]);
  });

  test("does not open under another key, and opens again under its own", async () => {
    await using folder = await temporaryFolder();
    const path = folder.file("x.db");
    const first = await openDatabase({ path, encryptionKey });
    await migrate(first, [table]);
    await first.write([insert("kept")]);
    await first[Symbol.asyncDispose]();
    await expectFault(openDatabase({ path, encryptionKey: "another key of this length" }), "database_key");
    await using again = await openDatabase({ path, encryptionKey });
    expect(await again.values("SELECT id FROM item")).toEqual([["kept"]]);
    expect(() => openDatabase({ path, encryptionKey: "short" })).toThrow(TypeError);
  });

  test("a full disk fails what does not fit, with its own code, and nothing else", async () => {
    await using folder = await temporaryFolder();
    await using database = await openDatabase({ path: folder.file("x.db"), encryptionKey });
    await migrate(database, [table]);
    await database.read("PRAGMA max_page_count = 40");
    const outcomes = await Promise.allSettled([
      database.write([insert("a")]),
      database.write([insert("too large", 1_000_000)]),
      database.write([insert("b")]),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    await expectFault(database.write([insert("too large", 1_000_000)]), "disk_full");
    expect(await database.values("SELECT id FROM item ORDER BY id")).toEqual([["a"], ["b"]]);
  });

  test("a lock held longer than the time-out is a fault, not a hang", async () => {
    await using folder = await temporaryFolder();
    const path = folder.file("x.db");
    await using database = await openDatabase({ path, encryptionKey, busyTimeoutMs: 30 });
    await migrate(database, [table]);
    await using slow = await openDatabase({ path, encryptionKey, commitDelayMs: 1_500 });
    const writing = slow.write([insert("slow")]);
    const fault = await expectFault(async () => {
      for (let tries = 0; tries < 1_000; tries++) await database.write([insert(`quick-${tries}`)]);
    }, "database");
    expect(String(fault.detail.sqlite)).toStartWith("SQLITE_BUSY");
    await writing;
    await database.write([insert("after")]);
  });

  test("sets that gather share commits: many cost little more than one where each takes 20 ms", async () => {
    await using folder = await temporaryFolder();
    await using database = await openDatabase({ path: folder.file("x.db"), encryptionKey, commitDelayMs: 20 });
    await migrate(database, [table]);
    const begun = performance.now();
    await Promise.all(Array.from({ length: 400 }, (_, index) => database.write([insert(`n${index}`)])));
    expect(performance.now() - begun).toBeLessThan(2_000); // one by one it would be 8 s
  });

  test("commits of 20 ms do not stop the thread that asks", async () => {
    await using folder = await temporaryFolder();
    await using database = await openDatabase({ path: folder.file("x.db"), encryptionKey, commitDelayMs: 20 });
    await migrate(database, [table]);
    using monitor = monitorLoopLag(systemClock, 2);
    for (let round = 0; round < 15; round++)
      await Promise.all(Array.from({ length: 20 }, (_, index) => database.write([insert(`${round}-${index}`)])));
    const { p50Ms, samples } = monitor.read();
    expect(samples).toBeGreaterThan(20);
    expect(p50Ms).toBeLessThan(10);
  });

  test("who waits is told when the thread dies, and so is who comes later", async () => {
    await using folder = await temporaryFolder();
    const thread = new DatabaseThread();
    await thread.open({ path: folder.file("x.db"), encryptionKey, busyTimeoutMs: 1_000, commitDelayMs: 2_000 });
    const waiting = thread.write([{ sql: "CREATE TABLE item (id TEXT)" }]);
    const queued = thread.write([{ sql: "INSERT INTO item VALUES (1)" }]);
    thread.kill();
    await expectFault(waiting, "database");
    await expectFault(queued, "database");
    await expectFault(thread.read("SELECT 1"), "database");
    await thread[Symbol.asyncDispose]();
  });

  test("texts beyond what the thread learns are sent whole and still work", async () => {
    await using database = await openDatabase({ path: ":memory:", encryptionKey });
    for (let number = 0; number < 2_100; number++)
      expect(await database.values(`SELECT ${number}`)).toEqual([[number]]);
    expect(await database.values("SELECT 5")).toEqual([[5]]);
    expect(await database.values("SELECT 2099")).toEqual([[2_099]]);
  });
});
