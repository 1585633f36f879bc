import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { hex, utf8 } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import type { Kms } from "#lib/kms";
import { systemRandom } from "#lib/runtime";
import { caught, expectFault } from "#support/faults";
import { LocalPlace, watched } from "./local-place.ts";

setDefaultTimeout(30_000);

const use = { purpose: "opening", subject: "a1" };
const peer = await webSuite.agreementKey(systemRandom(32));
const names = Array.from({ length: 250 }, (_, index) => `agent/${index}`);

/** A place with 250 keys and a sealed value, and a check that all of them are as they were. */
async function filled() {
  const place = await LocalPlace.begin();
  const kms = await place.with();
  const publicKeys = await Promise.all(names.map(async (name) => (await kms.ensureKey(name, "agree")).publicKey));
  const sealed = await kms.sealData("x", utf8("value"));
  const check = async (one: Kms) => {
    for (const [index, name] of names.entries()) {
      if (index % 10 !== 0) continue;
      const shared = await one.agree(name, peer.publicKey, use);
      const publicKey = publicKeys[index];
      if (publicKey === undefined) throw new TypeError("no such key");
      expect(hex(shared)).toBe(hex(await peer.agree(publicKey)));
    }
    expect(await one.openData("x", sealed)).toEqual(utf8("value"));
  };
  return { place, kms, check };
}

describe("a rotation of the key-encryption key", () => {
  test("changes every wrapping and no key; the former one is refused afterwards", async () => {
    const { place, kms, check } = await filled();
    await using _ = place;
    const wrapped = () => place.database.read<{ wrapped: Uint8Array }>("SELECT wrapped FROM key ORDER BY name");
    const before = (await wrapped()).map((row) => hex(row.wrapped));
    const next = systemRandom(32);
    await kms.rotateKeyEncryptionKey(next);
    await check(kms);
    const after = (await wrapped()).map((row) => hex(row.wrapped));
    expect(after.filter((one) => before.includes(one))).toEqual([]);
    await expectFault(place.with(), "database_key");
    await check(await place.with({ key: next }));
    const left =
      "SELECT count(*) AS n FROM key, kek WHERE next_kek IS NOT NULL OR next_wrapped IS NOT NULL OR next IS NOT NULL";
    expect(await place.database.read(left)).toEqual([{ n: 0 }]);
    await kms.rotateKeyEncryptionKey(next); // again: nothing to do
    await kms.rotateKeyEncryptionKey(systemRandom(32));
  });

  test("goes on under use: keys made, used and destroyed meanwhile", async () => {
    const { place, kms, check } = await filled();
    await using _ = place;
    const other = await place.with();
    const next = systemRandom(32);
    let rotating = true;
    const rotation = kms.rotateKeyEncryptionKey(next).finally(() => {
      rotating = false;
    });
    const made: { name: string; publicKey: Uint8Array }[] = [];
    const destroyed: string[] = [];
    for (let index = 0; rotating || index < 20; index++) {
      const name = `made/${index}`;
      const { publicKey } = await kms.ensureKey(name, "agree");
      if (index % 4 === 3) {
        await kms.destroy(name);
        destroyed.push(name);
      } else made.push({ name, publicKey });
      const at = names[index % names.length] ?? "";
      await kms.agree(at, peer.publicKey, use);
      await (rotating ? other : kms).agree(at, peer.publicKey, use).catch((error) => {
        // The other process has the former key only: fine until the rotation is over, told afterwards.
        expect(error).toMatchObject({ code: "database_key" });
      });
    }
    await rotation;
    const again = await place.with({ key: next });
    for (const one of [kms, again]) {
      await check(one);
      for (const { name, publicKey } of made)
        expect(hex(await one.agree(name, peer.publicKey, use))).toBe(hex(await peer.agree(Uint8Array.from(publicKey))));
      for (const name of destroyed) await expectFault(one.agree(name, peer.publicKey, use), "not_found");
    }
  });

  test("ends between the reading of a row and its use: the row is read again", async () => {
    const { place } = await filled();
    await using _ = place;
    const next = systemRandom(32);
    let holding = false;
    const { promise: held, resolve: hold } = Promise.withResolvers<void>();
    const { promise: rotated, resolve: release } = Promise.withResolvers<void>();
    const slow = watched(
      place.database,
      () => {},
      async (kind, sql) => {
        if (!holding || kind !== "read" || !sql.includes("WHERE name = ?")) return;
        holding = false;
        hold();
        await rotated;
      },
    );
    const kms = await place.with({ database: slow });
    holding = true;
    const agreeing = kms.agree("agent/1", peer.publicKey, use);
    await held;
    await kms.rotateKeyEncryptionKey(next);
    release();
    const { publicKey } = await kms.ensureKey("agent/1", "agree");
    expect(hex(await agreeing)).toBe(hex(await peer.agree(publicKey)));
  });

  test("does not end while a key is not wrapped anew, also one made in the last moment", async () => {
    const { place } = await filled();
    await using _ = place;
    const other = await place.with();
    let late: Promise<{ readonly publicKey: Uint8Array }> | undefined;
    const watchedDatabase = watched(place.database, async (kind, sql) => {
      if (kind !== "write" || !sql.startsWith("UPDATE kek SET current") || late !== undefined) return;
      late = other.ensureKey("agent/late", "agree");
      await late;
    });
    const kms = await place.with({ database: watchedDatabase });
    const next = systemRandom(32);
    await kms.rotateKeyEncryptionKey(next);
    const again = await place.with({ key: next });
    const { publicKey } = (await late) ?? { publicKey: new Uint8Array(0) };
    expect(hex(await again.agree("agent/late", peer.publicKey, use))).toBe(hex(await peer.agree(publicKey)));
  });

  test("killed at any moment, opens with either key, and the new one finishes it", async () => {
    for (let writes = 0; ; writes++) {
      const { place, check } = await filled();
      await using _ = place;
      const next = systemRandom(32);
      let left = Number.POSITIVE_INFINITY;
      const dying = watched(place.database, (kind) => {
        if (kind === "write" && left-- <= 0) throw new Error("killed");
      });
      const kms = await place.with({ database: dying });
      left = writes;
      const error = await kms.rotateKeyEncryptionKey(next).catch((one: unknown) => one);
      if (error === undefined) {
        expect(writes).toBeGreaterThan(3); // it died at every write there is
        return;
      }
      const withFormer = await place.with();
      await check(withFormer);
      await withFormer.ensureKey("made/after", "sign");
      if (writes === 0) {
        await expectFault(place.with({ key: next }), "database_key"); // nothing had begun
        continue;
      }
      await expectFault(withFormer.rotateKeyEncryptionKey(systemRandom(32)), "conflict");
      await check(await place.with({ key: next }));
      await expectFault(place.with(), "database_key");
    }
  });

  test("can be taken up again by a process that has the former key", async () => {
    const { place, check } = await filled();
    await using _ = place;
    const next = systemRandom(32);
    let left = Number.POSITIVE_INFINITY;
    const dying = watched(place.database, (kind) => {
      if (kind === "write" && left-- <= 0) throw new Error("killed");
    });
    const kms = await place.with({ database: dying });
    left = 2;
    expect(await caught(kms.rotateKeyEncryptionKey(next))).toBeDefined();
    const again = await place.with();
    await again.rotateKeyEncryptionKey(next);
    await check(again);
    await check(await place.with({ key: next }));
  });

  test("is seen by another process: it can neither use nor make keys until it has the new one", async () => {
    const { place, kms } = await filled();
    await using _ = place;
    const other = await place.with();
    await other.sealData("warm", utf8("x"));
    const next = systemRandom(32);
    await kms.rotateKeyEncryptionKey(next);
    await expectFault(other.agree("agent/1", peer.publicKey, use), "database_key");
    await expectFault(other.ensureKey("agent/new", "agree"), "database_key");
    expect((await (await place.with({ key: next })).ensureKey("agent/new", "agree")).publicKey).toHaveLength(32);
  });

  test("by two processes at once to the same key is one; to two keys, one is refused", async () => {
    const { place, kms, check } = await filled();
    await using _ = place;
    const other = await place.with();
    const next = systemRandom(32);
    await Promise.all([kms.rotateKeyEncryptionKey(next), other.rotateKeyEncryptionKey(next)]);
    await check(other);
    const keys = [systemRandom(32), systemRandom(32)] as const;
    const results = await Promise.allSettled([
      kms.rotateKeyEncryptionKey(keys[0]),
      other.rotateKeyEncryptionKey(keys[1]),
    ]);
    expect(results.filter(({ status }) => status === "rejected")).toHaveLength(1);
    const winner = results[0].status === "fulfilled" ? keys[0] : keys[1];
    await check(await place.with({ key: winner }));
  });
});
