import { describe, expect, test } from "bun:test";
import { equalBytes, hex, utf8 } from "#lib/bytes";
import { webSuite } from "#lib/crypto";
import { beginIdentity, recipientOf, seal } from "#lib/identity";
import type { Kms, KmsAudit, KmsEvent } from "#lib/kms";
import { kmsSigner } from "#lib/kms";
import { systemRandom } from "#lib/runtime";
import { signCheckpoint, verifyCheckpoint } from "#lib/statement";
import { caught, expectFault } from "#support/faults";
import { withBitTurned } from "#support/octets";

/** One place where keys are kept, which can be opened again and again, also by several at once. */
export interface KmsPlace extends AsyncDisposable {
  open(audit: KmsAudit): Promise<Kms>;
}

const use = { purpose: "opening", subject: "a1", detail: { gateway: "g1" } };
const now = 1_700_000_000_000;

/** What every adapter of the port promises. */
export function kmsContract(name: string, begin: () => Promise<KmsPlace>): void {
  /** Runs `work` with a fresh place, its KMS, and the events that it told. */
  async function withKms(work: (kms: Kms, events: KmsEvent[], place: KmsPlace) => Promise<void>): Promise<void> {
    await using place = await begin();
    const events: KmsEvent[] = [];
    await using kms = await place.open(async (event) => {
      events.push(event);
    });
    await work(kms, events, place);
  }

  describe(`${name} as a KMS`, () => {
    test("makes a key once for each name, however often and at once it is asked", async () => {
      await withKms(async (kms, _, place) => {
        await using other = await place.open(async () => {});
        const asked = Array.from({ length: 20 }, (_, index) =>
          (index % 2 ? kms : other).ensureKey("agent/a1", "agree"),
        );
        const publicKeys = (await Promise.all(asked)).map(({ publicKey }) => hex(publicKey));
        expect(new Set(publicKeys).size).toBe(1);
        const { publicKey } = await kms.ensureKey("agent/a2", "agree");
        expect(publicKey).toHaveLength(32);
        expect(hex(publicKey)).not.toBe(publicKeys[0] ?? "");
      });
    });

    test("signs", async () => {
      await withKms(async (kms) => {
        const { publicKey } = await kms.ensureKey("authority/1/sign", "sign");
        const message = utf8("message");
        const signature = await kms.sign("authority/1/sign", message);
        expect(await webSuite.verify(publicKey, message, signature)).toBe(true);
        expect(await kms.sign("authority/1/sign", message)).toEqual(signature);
      });
    });

    test("agrees, with one audited use each time, told before", async () => {
      await withKms(async (kms, events) => {
        const { publicKey } = await kms.ensureKey("agent/a1", "agree");
        const peer = await webSuite.agreementKey(systemRandom(32));
        events.length = 0;
        for (let count = 1; count <= 3; count++) {
          const shared = await kms.agree("agent/a1", peer.publicKey, use);
          expect(equalBytes(shared, await peer.agree(publicKey))).toBe(true);
          expect(events).toEqual(Array.from({ length: count }, () => ({ operation: "agree", name: "agent/a1", use })));
        }
      });
    });

    test("gives nothing when the use can't be recorded", async () => {
      await using place = await begin();
      let refusing = false;
      await using kms = await place.open(async () => {
        if (refusing) throw new Error("no audit");
      });
      await kms.ensureKey("agent/a1", "agree");
      await kms.ensureKey("authority/1/sign", "sign");
      const peer = await webSuite.agreementKey(systemRandom(32));
      refusing = true;
      await expectFault(kms.agree("agent/a1", peer.publicKey, use), "kms");
      await expectFault(kms.sign("authority/1/sign", utf8("x")), "kms");
      await expectFault(kms.ensureKey("agent/a2", "agree"), "kms");
      await expectFault(kms.destroy("agent/a1"), "kms");
      refusing = false;
      await kms.agree("agent/a1", peer.publicKey, use);
    });

    test("waits for the record before it uses the key", async () => {
      await using place = await begin();
      const { promise: recorded, resolve: record } = Promise.withResolvers<void>();
      let waits = false;
      await using kms = await place.open(() => (waits ? recorded : Promise.resolve()));
      await kms.ensureKey("agent/a1", "agree");
      const peer = await webSuite.agreementKey(systemRandom(32));
      waits = true;
      let done = false;
      const agreeing = kms.agree("agent/a1", peer.publicKey, use).then(() => {
        done = true;
      });
      await kms.sealData("x", utf8("y")); // something that takes a while
      expect(done).toBe(false);
      record();
      await agreeing;
    });

    test("refuses a peer's key of low order", async () => {
      await withKms(async (kms) => {
        await kms.ensureKey("agent/a1", "agree");
        await expectFault(kms.agree("agent/a1", new Uint8Array(32), use), "crypto");
        await expectFault(kms.agree("agent/a1", new Uint8Array(31), use), "crypto");
      });
    });

    test("is an authority: its identity, its statements, what is sealed to it", async () => {
      await withKms(async (kms) => {
        const ed25519 = (await kms.ensureKey("authority/1/sign", "sign")).publicKey;
        const x25519 = (await kms.ensureKey("authority/1/agree", "agree")).publicKey;
        const sign = (message: Uint8Array) => kms.sign("authority/1/sign", message);
        const identity = await beginIdentity(webSuite, { ed25519, x25519, sign }, { now });
        const signer = kmsSigner(kms, "authority/1/sign", identity.last.hash);
        const claims = { number: 1, hash: "0".repeat(64), iat: now / 1_000 };
        const jws = await signCheckpoint(signer, claims);
        expect(await verifyCheckpoint(webSuite, jws, { authority: identity, now })).toEqual(claims);
        const sealed = await seal(webSuite, systemRandom, recipientOf(identity), "sealed");
        expect(await kms.unseal("authority/1/agree", sealed)).toEqual(utf8("sealed"));
        await kms.ensureKey("authority/2/agree", "agree");
        await expectFault(kms.unseal("authority/2/agree", sealed), "crypto");
        await expectFault(kms.unseal("authority/1/agree", "no jwe"), "malformed");
      });
    });

    test("refuses keys that are not there, or of the other kind", async () => {
      await withKms(async (kms) => {
        const peer = systemRandom(32);
        await expectFault(kms.agree("none", peer, use), "not_found");
        await expectFault(kms.sign("none", peer), "not_found");
        await expectFault(kms.unseal("none", "x"), "not_found");
        await expectFault(kms.destroy("none"), "not_found");
        await kms.ensureKey("agent/a1", "agree");
        await kms.ensureKey("authority/1/sign", "sign");
        await expectFault(kms.sign("agent/a1", peer), "conflict");
        await expectFault(kms.agree("authority/1/sign", peer, use), "conflict");
        await expectFault(kms.ensureKey("agent/a1", "sign"), "conflict");
        for (const bad of ["", "a b", "$data/x", "x".repeat(201), "ä"])
          expect(await caught(kms.ensureKey(bad, "sign"))).toBeInstanceOf(TypeError);
      });
    });

    test("uses a destroyed key no more, nowhere, and makes no other under its name", async () => {
      await withKms(async (kms, events, place) => {
        await using other = await place.open(async () => {});
        await kms.ensureKey("agent/a1", "agree");
        const peer = await webSuite.agreementKey(systemRandom(32));
        await other.agree("agent/a1", peer.publicKey, use);
        await kms.destroy("agent/a1");
        await kms.destroy("agent/a1");
        expect(events.filter(({ operation }) => operation === "destroy")).toHaveLength(1);
        for (const one of [kms, other]) {
          const fault = await expectFault(one.agree("agent/a1", peer.publicKey, use), "not_found");
          expect(fault.detail).toMatchObject({ reason: "destroyed" });
          await expectFault(one.ensureKey("agent/a1", "agree"), "not_found");
          await expectFault(one.unseal("agent/a1", "x"), "not_found");
        }
      });
    });

    test("has the same keys and opens the same values after a restart", async () => {
      await withKms(async (kms, _, place) => {
        const { publicKey } = await kms.ensureKey("agent/a1", "agree");
        await kms.ensureKey("agent/a2", "agree");
        await kms.destroy("agent/a2");
        const sealed = await kms.sealData("licence.key/1", utf8("secret"));
        await kms[Symbol.asyncDispose]();
        await using again = await place.open(async () => {});
        expect((await again.ensureKey("agent/a1", "agree")).publicKey).toEqual(publicKey);
        expect(await again.openData("licence.key/1", sealed)).toEqual(utf8("secret"));
        await expectFault(again.ensureKey("agent/a2", "agree"), "not_found");
      });
    });

    test("seals values for a place, without a use for each", async () => {
      await withKms(async (kms, events, place) => {
        await using other = await place.open(async () => {});
        const values = Array.from({ length: 100 }, (_, index) => systemRandom(index * 7));
        const sealed = await Promise.all(values.map((value, index) => kms.sealData(`t.c/${index}`, value)));
        expect(sealed.map(({ length }, index) => length - index * 7)).toEqual(values.map(() => 37));
        expect(new Set(sealed.map(hex)).size).toBe(100);
        const opened = await Promise.all(sealed.map((value, index) => other.openData(`t.c/${index}`, value)));
        expect(opened).toEqual(values);
        expect(events).toEqual([]);
      });
    });

    test("opens a value in its own place only, and unchanged only", async () => {
      await withKms(async (kms) => {
        const sealed = await kms.sealData("t.c/1", utf8("secret"));
        for (const place of ["t.c/2", "t.d/1", "", "t.c/1 "]) await expectFault(kms.openData(place, sealed), "crypto");
        for (let index = 0; index < sealed.length; index++) {
          const error = await caught(kms.openData("t.c/1", withBitTurned(sealed, index, index % 8)));
          expect(["crypto", "kms"]).toContain((error as { code?: string }).code ?? "");
          await expectFault(kms.openData("t.c/1", sealed.subarray(0, index)), "crypto");
        }
      });
    });

    test("says that it is closed, once it is", async () => {
      await withKms(async (kms) => {
        await kms.ensureKey("agent/a1", "agree");
        const sealed = await kms.sealData("x", utf8("y"));
        await kms[Symbol.asyncDispose]();
        await kms[Symbol.asyncDispose]();
        await expectFault(kms.ensureKey("agent/a1", "agree"), "closed");
        await expectFault(kms.agree("agent/a1", systemRandom(32), use), "closed");
        await expectFault(kms.sealData("x", utf8("y")), "closed");
        await expectFault(kms.openData("x", sealed), "closed");
      });
    });
  });
}
