import { expect, test } from "bun:test";
import fc from "fast-check";
import { hex } from "#lib/bytes";
import { nobleSuite, webSuite } from "#lib/crypto";
import { CipherState } from "#lib/noise";
import { runHandshake } from "#support/noise-handshake";
import { type ReferenceCipherState, ReferenceHandshake } from "../../reference/noise-xx.ts";

const bytes = (lengthMax: number) => fc.uint8Array({ minLength: 0, maxLength: lengthMax });
const secret = fc.uint8Array({ minLength: 32, maxLength: 32 });

const runs = fc.record({
  prologue: bytes(100),
  initiatorStatic: secret,
  initiatorEphemeral: secret,
  responderStatic: secret,
  responderEphemeral: secret,
  payloads: fc.tuple(bytes(300), bytes(300), bytes(300)),
});

test("every message, the hash and both keys are those of the specification's text", async () => {
  const property = fc.asyncProperty(runs, async ({ payloads, ...secrets }) => {
    const { prologue } = secrets;
    const initiator = new ReferenceHandshake(true, prologue, secrets.initiatorStatic, secrets.initiatorEphemeral);
    const responder = new ReferenceHandshake(false, prologue, secrets.responderStatic, secrets.responderEphemeral);
    const sides = [initiator, responder, initiator] as const;
    const expected = payloads.map((payload, index) => {
      const writer = sides[index] ?? initiator;
      const message = writer.WriteMessage(payload);
      expect(hex((writer === initiator ? responder : initiator).ReadMessage(message))).toBe(hex(payload));
      return hex(message);
    });
    const [forward, backward] = initiator.symmetric.Split();
    for (const suite of [webSuite, nobleSuite]) {
      const ours = await runHandshake(suite, payloads, { secrets });
      expect(ours.messages.map(hex)).toEqual(expected);
      expect(hex(ours.initiator.handshakeHash)).toBe(hex(responder.symmetric.h));
      expect(hex(ours.initiator.sendKey)).toBe(hex(forward.k ?? new Uint8Array(0)));
      expect(hex(ours.initiator.receiveKey)).toBe(hex(backward.k ?? new Uint8Array(0)));
      expect(hex(ours.initiator.remoteStatic)).toBe(hex(initiator.rs));
      expect(hex(ours.responder.remoteStatic)).toBe(hex(responder.rs));
    }
  });
  await fc.assert(property, { numRuns: 15 });
}, 30_000);

test("transport messages and rekeys in any order are those of the specification's text", async () => {
  const { ReferenceCipherState: Reference } = await import("../../reference/noise-xx.ts");
  const step = fc.oneof(fc.constant("rekey" as const), fc.tuple(bytes(20), bytes(50)));
  const property = fc.asyncProperty(secret, fc.array(step, { maxLength: 12 }), async (key, steps) => {
    for (const suite of [webSuite, nobleSuite]) {
      const reference: ReferenceCipherState = new Reference(Uint8Array.from(key));
      const sending = await CipherState.initialize(suite, key);
      const receiving = await CipherState.initialize(suite, key);
      for (const one of steps) {
        if (one === "rekey") {
          reference.Rekey();
          await sending.rekey();
          await receiving.rekey();
          continue;
        }
        const [additionalData, plaintext] = one;
        const sealed = await sending.encryptWithAd(additionalData, plaintext);
        expect(hex(sealed)).toBe(hex(reference.EncryptWithAd(additionalData, plaintext)));
        expect(hex(await receiving.decryptWithAd(additionalData, sealed))).toBe(hex(plaintext));
      }
    }
  });
  await fc.assert(property, { numRuns: 30 });
});
