import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hex, utf8 } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { dataKeyHeldMs, dataKeyLifeMs, dataKeysHeldMax } from "#lib/limits";
import { openDatabase, systemRandom } from "#lib/runtime";
import { DrivenClock } from "#support/driven-clock";
import { caught, expectFault } from "#support/faults";
import { kmsContract } from "../../contract/kms.ts";
import { LocalPlace, watched } from "./local-place.ts";

setDefaultTimeout(30_000);

kmsContract("the local adapter", LocalPlace.begin);

const use = { purpose: "opening", subject: "a1" };
const peer = await webSuite.agreementKey(systemRandom(32));

describe("the local KMS at rest", () => {
  test("opens under its own key-encryption key only", async () => {
    await using place = await LocalPlace.begin();
    await (await place.with()).ensureKey("agent/a1", "agree");
    await expectFault(place.with({ key: systemRandom(32) }), "database_key");
    expect(await caught(place.with({ key: systemRandom(31) }))).toBeInstanceOf(RangeError);
    await place.with();
  });

  test("is the same after its file was closed and opened again", async () => {
    const path = join(mkdtempSync(join(tmpdir(), "kms-")), "kms.db");
    const encryptionKey = "only for this test";
    const key = systemRandom(32);
    const open = async () => {
      const place = new LocalPlace(await openDatabase({ path, encryptionKey }));
      return { place, kms: await place.with({ key }) };
    };
    const first = await open();
    const { publicKey } = await first.kms.ensureKey("agent/a1", "agree");
    const sealed = await first.kms.sealData("x", utf8("y"));
    await first.place[Symbol.asyncDispose]();
    const second = await open();
    await using _ = second.place;
    expect((await second.kms.ensureKey("agent/a1", "agree")).publicKey).toEqual(publicKey);
    const shared = await second.kms.agree("agent/a1", peer.publicKey, use);
    expect(shared).toEqual(await peer.agree(publicKey));
    expect(await second.kms.openData("x", sealed)).toEqual(utf8("y"));
  });

  test("holds no secret in the clear", async () => {
    await using place = await LocalPlace.begin();
    const drawn: string[] = [hex(place.keyEncryptionKey)];
    const random = (length: number) => {
      const bytes = systemRandom(length);
      if (length === 32) drawn.push(hex(bytes));
      return bytes;
    };
    const kms = await place.with({ random });
    await kms.ensureKey("agent/a1", "agree");
    await kms.ensureKey("authority/1/sign", "sign");
    await kms.sealData("x", utf8("y"));
    const tables = ["key", "kek"].map((table) => place.database.values(`SELECT * FROM ${table}`));
    const stored = (await Promise.all(tables))
      .flat(2)
      .map((value) => (value instanceof Uint8Array ? hex(value) : String(value)))
      .join(" ");
    expect(drawn).toHaveLength(4);
    for (const secret of drawn) expect(stored).not.toContain(secret);
    expect(stored).toContain(hex((await kms.ensureKey("agent/a1", "agree")).publicKey)); // the search finds what is there
  });

  test("does not take the secret of one row for that of another", async () => {
    await using place = await LocalPlace.begin();
    const kms = await place.with();
    for (const name of ["agent/a1", "agent/a2"]) await kms.ensureKey(name, "agree");
    await place.database.write([
      { sql: "UPDATE key SET wrapped = (SELECT wrapped FROM key WHERE name = 'agent/a2') WHERE name = 'agent/a1'" },
    ]);
    await expectFault(kms.agree("agent/a1", peer.publicKey, use), "crypto");
    await place.database.write([{ sql: "UPDATE key SET public = zeroblob(32) WHERE name = 'agent/a2'" }]);
    await expectFault(kms.agree("agent/a2", peer.publicKey, use), "crypto");
  });

  test("keeps nothing of a destroyed key", async () => {
    await using place = await LocalPlace.begin();
    const kms = await place.with();
    await kms.ensureKey("agent/a1", "agree");
    await kms.destroy("agent/a1");
    const rows = await place.database.read("SELECT wrapped, next_wrapped FROM key WHERE name = 'agent/a1'");
    expect(rows).toEqual([{ wrapped: null, next_wrapped: null }]);
  });

  test("takes the key of an agent out of the database at every use", async () => {
    await using place = await LocalPlace.begin();
    let reads = 0;
    const database = watched(place.database, (kind) => {
      if (kind === "read") reads += 1;
    });
    const kms = await place.with({ database });
    await kms.ensureKey("agent/a1", "agree");
    reads = 0;
    for (let count = 1; count <= 5; count++) {
      await kms.agree("agent/a1", peer.publicKey, use);
      expect(reads).toBe(count);
    }
  });
});

describe("data keys", () => {
  async function counted(clock: DrivenClock) {
    const place = await LocalPlace.begin();
    const counts = { read: 0, write: 0 };
    const database = watched(place.database, (kind) => {
      counts[kind] += 1;
    });
    const kms = await place.with({ database, clock });
    counts.read = counts.write = 0;
    return { place, kms, counts };
  }
  const idOf = (sealed: Uint8Array) => hex(sealed.subarray(1, 9));

  test("are held, so that a thousand values cost no thousand reads", async () => {
    const { place, kms, counts } = await counted(new DrivenClock());
    await using _ = place;
    const sealed = await Promise.all(Array.from({ length: 1_000 }, (_, index) => kms.sealData(`${index}`, utf8("x"))));
    await Promise.all(sealed.map((value, index) => kms.openData(`${index}`, value)));
    expect(new Set(sealed.map(idOf)).size).toBe(1);
    expect(counts.write).toBe(1);
    expect(counts.read).toBeLessThan(5);
  });

  test("are held for an hour, and renewed after seven days", async () => {
    const clock = new DrivenClock();
    const { place, kms, counts } = await counted(clock);
    await using _ = place;
    const first = await kms.sealData("x", utf8("first"));
    const opens = async () => {
      counts.read = 0;
      await kms.openData("x", first);
      return counts.read;
    };
    expect([await opens(), await opens()]).toEqual([1, 0]);
    await clock.advance(dataKeyHeldMs);
    expect([await opens(), await opens()]).toEqual([1, 0]);
    expect(idOf(await kms.sealData("x", utf8("same")))).toBe(idOf(first));
    await clock.advance(dataKeyLifeMs);
    const second = await kms.sealData("x", utf8("second"));
    expect(idOf(second)).not.toBe(idOf(first));
    expect([await kms.openData("x", first), await kms.openData("x", second)]).toEqual([utf8("first"), utf8("second")]);
  });

  test("can be renewed at once; what was sealed still opens, and few are held", async () => {
    const { place, kms, counts } = await counted(new DrivenClock());
    await using _ = place;
    const sealed: Uint8Array[] = [];
    for (let index = 0; index <= dataKeysHeldMax; index++) {
      sealed.push(await kms.sealData("x", utf8(`${index}`)));
      kms.renewDataKey();
    }
    expect(new Set(sealed.map(idOf)).size).toBe(dataKeysHeldMax + 1);
    for (const [index, value] of sealed.entries()) expect(await kms.openData("x", value)).toEqual(utf8(`${index}`));
    counts.read = 0;
    for (const value of sealed.toReversed()) await kms.openData("x", value);
    expect(counts.read).toBe(1); // all but the first are held
  });

  test("that could not be stored are not used, and tried again", async () => {
    await using place = await LocalPlace.begin();
    let full = false;
    const database = watched(place.database, (kind) => {
      if (full && kind === "write") throw new Error("disk full");
    });
    const kms = await place.with({ database });
    full = true;
    expect(await caught(kms.sealData("x", utf8("y")))).toBeDefined();
    full = false;
    expect(await kms.openData("x", await kms.sealData("x", utf8("y")))).toEqual(utf8("y"));
  });

  test("that are gone make the value unreadable, which is told", async () => {
    await using place = await LocalPlace.begin();
    const sealed = await (await place.with()).sealData("x", utf8("y"));
    await place.database.write([{ sql: "DELETE FROM key WHERE kind = 'data'" }]);
    await expectFault((await place.with()).openData("x", sealed), "kms");
  });
});
