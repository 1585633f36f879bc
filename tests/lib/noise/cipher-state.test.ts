import { describe, expect, test } from "bun:test";
import { hex } from "#lib/bytes";
import { nobleSuite, webSuite } from "#lib/crypto";
import { CipherState, noiseNonce, rekey } from "#lib/noise";
import { caught, expectFault } from "#support/faults";
import { runHandshake } from "#support/noise-handshake";
import { octets, withBitTurned } from "#support/octets";
import transcript from "./fixtures/xx-rekey.json";

const none = new Uint8Array(0);

test("a nonce is 4 zero bytes and the counter, big-endian", () => {
  expect(hex(noiseNonce(0))).toBe("000000000000000000000000");
  expect(hex(noiseNonce(1))).toBe("000000000000000000000001");
  expect(hex(noiseNonce(0x0102_0304_0506))).toBe("000000000000010203040506");
  expect(hex(noiseNonce(Number.MAX_SAFE_INTEGER))).toBe("00000000001fffffffffffff");
});

test.each([-1, 0.5, 2 ** 53, Number.NaN])("no counter is %p", (counter) => {
  expect(() => noiseNonce(counter)).toThrow(RangeError);
});

describe.each([
  ["web", webSuite],
  ["noble", nobleSuite],
] as const)("on %s", (_name, suite) => {
  test("the transcript of another engine: handshake, transport, 0, 1 and 3 rekeys", async () => {
    const run = await runHandshake(suite, [none, none, none], {
      secrets: {
        prologue: octets(transcript.prologue),
        initiatorStatic: octets(transcript.init_static),
        initiatorEphemeral: octets(transcript.init_ephemeral),
        responderStatic: octets(transcript.resp_static),
        responderEphemeral: octets(transcript.resp_ephemeral),
      },
    });
    expect(run.messages.map(hex)).toEqual(transcript.handshake_messages);
    expect(hex(run.initiator.handshakeHash)).toBe(transcript.handshake_hash);
    expect(hex(run.initiator.sendKey)).toBe(transcript.split_keys.c1_i2r);
    expect(hex(run.initiator.receiveKey)).toBe(transcript.split_keys.c2_r2i);

    const keys = { i2r: run.initiator.sendKey, r2i: run.initiator.receiveKey };
    const pair = async (key: Uint8Array) => ({
      sending: await CipherState.initialize(suite, key),
      receiving: await CipherState.initialize(suite, key),
    });
    const directions = { i2r: await pair(keys.i2r), r2i: await pair(keys.r2i) };
    let rekeys = 0;
    for (const step of transcript.steps) {
      const name = step.dir === "i2r" ? "i2r" : "r2i";
      const { sending, receiving } = directions[name];
      if (step.op === "rekey") {
        rekeys++;
        keys[name] = await rekey(suite, keys[name]);
        expect(hex(keys[name])).toBe(step.new_key ?? "missing");
        await sending.rekey();
        await receiving.rekey();
      } else {
        const sealed = await sending.encryptWithAd(none, octets(step.payload ?? ""));
        expect(hex(sealed)).toBe(step.ciphertext ?? "missing");
        expect(hex(await receiving.decryptWithAd(none, sealed))).toBe(step.payload ?? "missing");
        // The same record by hand: the key as it is now, and the counter that no rekey has reset.
        const aead = await suite.aeadKey(keys[name]);
        expect(hex(await aead.seal(noiseNonce(step.n ?? -1), none, octets(step.payload ?? "")))).toBe(hex(sealed));
      }
    }
    expect(rekeys).toBe(4);
  });

  test("a message that does not open leaves the counter; the right one still opens", async () => {
    const key = new Uint8Array(32).fill(5);
    const sending = await CipherState.initialize(suite, key);
    const receiving = await CipherState.initialize(suite, key);
    const sealed = await sending.encryptWithAd(octets("01"), octets("abcd"));
    for (let index = 0; index < sealed.length; index++)
      await expectFault(receiving.decryptWithAd(octets("01"), withBitTurned(sealed, index)), "crypto");
    await expectFault(receiving.decryptWithAd(octets("02"), sealed), "crypto");
    expect(hex(await receiving.decryptWithAd(octets("01"), sealed))).toBe("abcd");
    await expectFault(receiving.decryptWithAd(octets("01"), sealed), "crypto"); // a repeat
  });

  test("a key of another length is a caller's bug", async () => {
    expect(await caught(CipherState.initialize(suite, new Uint8Array(16)))).toBeInstanceOf(RangeError);
    expect(await caught(rekey(suite, new Uint8Array(31)))).toBeInstanceOf(RangeError);
  });
});
