import { beforeAll, describe, expect, test } from "bun:test";
import { hex, utf8 } from "#lib/bytes";
import { nobleSuite, webSuite } from "#lib/crypto";
import { CipherState, startInitiator, startResponder } from "#lib/noise";
import { loadNoiseC, noiseCSide } from "#support/noise-c";

const prologue = utf8("both know this");
const payloads = [utf8("one"), new Uint8Array(3_000).fill(2), new Uint8Array(0)] as const;
const secret = (byte: number) => new Uint8Array(32).fill(byte);
const additionalData = utf8("header");

let noiseC: Awaited<ReturnType<typeof loadNoiseC>>;
beforeAll(async () => {
  noiseC = await loadNoiseC();
});

describe.each([
  ["web", webSuite],
  ["noble", nobleSuite],
] as const)("against noise-c, on %s", (_name, suite) => {
  const options = async () => ({
    prologue,
    staticKey: await suite.agreementKey(secret(1)),
    ephemeralKey: await suite.agreementKey(crypto.getRandomValues(new Uint8Array(32))),
  });
  const ourPublic = async () => hex((await suite.agreementKey(secret(1))).publicKey);
  const theirPublic = async () => hex((await suite.agreementKey(secret(3))).publicKey);

  test("we initiate", async () => {
    const theirs = noiseCSide(noiseC, "responder", { prologue, staticSecret: secret(3) });
    const one = await startInitiator(suite, await options()).write(payloads[0]);
    expect(hex(theirs.ReadMessage(one.message, true))).toBe(hex(payloads[0]));
    const two = await one.next.read(theirs.WriteMessage(payloads[1]));
    expect(hex(two.payload)).toBe(hex(payloads[1]));
    expect(hex(two.remoteStatic)).toBe(await theirPublic());
    const { message, done } = await two.next.write(payloads[2]);
    expect(hex(theirs.ReadMessage(message, true))).toBe(hex(payloads[2]));
    expect(hex(theirs.GetRemotePublicKey())).toBe(await ourPublic());
    expect(hex(theirs.GetHandshakeHash())).toBe(hex(done.handshakeHash));
    await exchange(done, theirs.Split());
  });

  test("we respond", async () => {
    const theirs = noiseCSide(noiseC, "initiator", { prologue, staticSecret: secret(3) });
    const one = await startResponder(suite, await options()).read(theirs.WriteMessage(payloads[0]));
    expect(hex(one.payload)).toBe(hex(payloads[0]));
    const two = await one.next.write(payloads[1]);
    expect(hex(theirs.ReadMessage(two.message, true))).toBe(hex(payloads[1]));
    expect(hex(theirs.GetRemotePublicKey())).toBe(await ourPublic());
    const { payload, remoteStatic, done } = await two.next.read(theirs.WriteMessage(payloads[2]));
    expect(hex(payload)).toBe(hex(payloads[2]));
    expect(hex(remoteStatic)).toBe(await theirPublic());
    expect(hex(theirs.GetHandshakeHash())).toBe(hex(done.handshakeHash));
    await exchange(done, theirs.Split());
  });

  async function exchange(
    done: { sendKey: Uint8Array; receiveKey: Uint8Array },
    [theirSend, theirReceive]: ReturnType<ReturnType<typeof noiseCSide>["Split"]>,
  ): Promise<void> {
    const ourSend = await CipherState.initialize(suite, done.sendKey);
    const ourReceive = await CipherState.initialize(suite, done.receiveKey);
    for (let length = 0; length < 40; length += 13) {
      const text = new Uint8Array(length).fill(length);
      const sent = await ourSend.encryptWithAd(additionalData, text);
      expect(hex(theirReceive.DecryptWithAd(additionalData, sent))).toBe(hex(text));
      const received = theirSend.EncryptWithAd(additionalData, text);
      expect(hex(await ourReceive.decryptWithAd(additionalData, received))).toBe(hex(text));
    }
    theirSend.free();
    theirReceive.free();
  }
});
