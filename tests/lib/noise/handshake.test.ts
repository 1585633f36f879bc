import { describe, expect, test } from "bun:test";
import { equalBytes, hex, utf8 } from "#lib/bytes";
import { nobleSuite, webSuite } from "#lib/crypto";
import { handshakePayloadBytesMax, startInitiator, startResponder } from "#lib/noise";
import { caught, expectFault } from "#support/faults";
import { bothSides, runHandshake } from "#support/noise-handshake";

const none = new Uint8Array(0);
const payloads = [utf8("one"), utf8("two, secret"), utf8("three, secret")] as const;

describe.each([
  ["web", webSuite],
  ["noble", nobleSuite],
] as const)("XX on %s", (_name, suite) => {
  test("both sides end with the same hash, each other's key and each other's keys", async () => {
    const { initiator, responder, received, messages } = await runHandshake(suite, payloads);
    expect(received.map(hex)).toEqual(payloads.map(hex));
    expect(hex(initiator.handshakeHash)).toBe(hex(responder.handshakeHash));
    expect(hex(initiator.sendKey)).toBe(hex(responder.receiveKey));
    expect(hex(initiator.receiveKey)).toBe(hex(responder.sendKey));
    expect(hex(initiator.sendKey)).not.toBe(hex(initiator.receiveKey));
    expect(hex(initiator.remoteStatic)).toBe(hex((await suite.agreementKey(new Uint8Array(32).fill(3))).publicKey));
    expect(hex(responder.remoteStatic)).toBe(hex((await suite.agreementKey(new Uint8Array(32).fill(1))).publicKey));
    expect(messages.map((message) => message.length)).toEqual([32 + 3, 96 + 11, 64 + 13]);
    for (const message of messages.slice(1)) expect(hex(message)).not.toContain(hex(utf8("secret")));
  });

  test("payloads may be empty, and as large as a Noise message has room for", async () => {
    const empty = await runHandshake(suite, [none, none, none]);
    expect(empty.messages.map((message) => message.length)).toEqual([32, 96, 64]);
    expect(handshakePayloadBytesMax).toBe(65_439);
    const full = [65_535 - 32, 65_439, 65_535 - 64].map((length) => new Uint8Array(length).fill(7));
    const [one = none, two = none, three = none] = full;
    const run = await runHandshake(suite, [one, two, three]);
    expect(run.messages.map((message) => message.length)).toEqual([65_535, 65_535, 65_535]);
    expect(run.received.every((payload, index) => equalBytes(payload, full[index] ?? none))).toBe(true);
  });

  test("a payload too large for its message is a caller's bug", async () => {
    const tooLarge = (overhead: number) => new Uint8Array(65_536 - overhead);
    const sized = (overhead: number, at: number) => [1, 2, 3].map((n) => (n === at ? tooLarge(overhead) : none));
    for (const [overhead, at] of [
      [32, 1],
      [96, 2],
      [64, 3],
    ] as const) {
      const [one = none, two = none, three = none] = sized(overhead, at);
      expect(await caught(runHandshake(suite, [one, two, three]))).toBeInstanceOf(RangeError);
    }
  });

  test("other ephemeral keys give other messages and keys", async () => {
    const first = await runHandshake(suite, payloads);
    const second = await runHandshake(suite, payloads, { secrets: { responderEphemeral: new Uint8Array(32).fill(9) } });
    expect(hex(second.initiator.handshakeHash)).not.toBe(hex(first.initiator.handshakeHash));
    expect(hex(second.initiator.sendKey)).not.toBe(hex(first.initiator.sendKey));
  });

  test("another prologue fails the handshake at message 2", async () => {
    const { initiator } = await bothSides(suite, { prologue: utf8("session") });
    const { responder } = await bothSides(suite, { prologue: utf8("e2e") });
    const one = await initiator.write(none);
    const two = await (await responder.read(one.message)).next.write(none);
    await expectFault(one.next.read(two.message), "handshake");
  });

  test("a message recorded from another handshake does not open", async () => {
    const old = await runHandshake(suite, payloads, { secrets: { initiatorEphemeral: new Uint8Array(32).fill(8) } });
    const replay = (number: 2 | 3) =>
      runHandshake(suite, payloads, { wire: (m, n) => (n === number ? (old.messages[n - 1] ?? none) : m) });
    await expectFault(replay(2), "handshake");
    await expectFault(replay(3), "handshake");
  });

  test("an initiator that is sent its own message back refuses it", async () => {
    const { initiator } = await bothSides(suite);
    const one = await initiator.write(new Uint8Array(200));
    await expectFault(one.next.read(one.message), "handshake");
  });

  test("a key of low order fails the handshake on both sides", async () => {
    const zeroed = (message: Uint8Array) => Uint8Array.from(message).fill(0, 0, 32);
    for (const number of [1, 2])
      await expectFault(runHandshake(suite, payloads, { wire: (m, n) => (n === number ? zeroed(m) : m) }), "handshake");
  });

  test("messages of no possible length are refused before anything else", async () => {
    for (const length of [0, 31, 65_536, 100_000]) {
      const { responder } = await bothSides(suite);
      await expectFault(responder.read(new Uint8Array(length)), "handshake");
    }
    for (const length of [0, 32, 95, 65_536]) {
      const one = await (await bothSides(suite)).initiator.write(none);
      await expectFault(one.next.read(new Uint8Array(length)), "handshake");
    }
    const wire = (length: number) => (m: Uint8Array, n: number) => (n === 3 ? new Uint8Array(length) : m);
    for (const length of [0, 48, 63, 65_536])
      await expectFault(runHandshake(suite, payloads, { wire: wire(length) }), "handshake");
  });

  test("every step is used once, also while it is under way and after it failed", async () => {
    const { initiator, responder } = await bothSides(suite);
    const first = initiator.write(none);
    expect(await caught(initiator.write(none))).toBeInstanceOf(TypeError);
    const one = await first;
    const oneRead = await responder.read(one.message);
    expect(await caught(responder.read(one.message))).toBeInstanceOf(TypeError);
    const two = await oneRead.next.write(none);
    expect(await caught(oneRead.next.write(none))).toBeInstanceOf(TypeError);
    const twoRead = await one.next.read(two.message);
    expect(await caught(one.next.read(two.message))).toBeInstanceOf(TypeError);
    const three = await twoRead.next.write(none);
    expect(await caught(twoRead.next.write(none))).toBeInstanceOf(TypeError);
    await expectFault(two.next.read(new Uint8Array(64)), "handshake");
    expect(await caught(two.next.read(three.message))).toBeInstanceOf(TypeError);
  });

  test("messages and payloads may be changed as soon as a step was called", async () => {
    const expected = await runHandshake(suite, payloads);
    const { initiator, responder } = await bothSides(suite);
    const payload = Uint8Array.from(payloads[0]);
    const writing = initiator.write(payload);
    payload.fill(0xee);
    const one = await writing;
    expect(hex(one.message)).toBe(hex(expected.messages[0] ?? none));
    const message = Uint8Array.from(one.message);
    const reading = responder.read(message);
    message.fill(0xee);
    expect(hex((await reading).payload)).toBe(hex(payloads[0]));
  });
});

test("a web initiator and a noble responder understand each other", async () => {
  const key = (suite: typeof webSuite, byte: number) => suite.agreementKey(new Uint8Array(32).fill(byte));
  const options = async (suite: typeof webSuite, byte: number) => ({
    prologue: none,
    staticKey: await key(suite, byte),
    ephemeralKey: await key(suite, byte + 1),
  });
  const initiator = startInitiator(webSuite, await options(webSuite, 1));
  const responder = startResponder(nobleSuite, await options(nobleSuite, 3));
  const one = await initiator.write(payloads[0]);
  const two = await (await responder.read(one.message)).next.write(payloads[1]);
  const three = await (await one.next.read(two.message)).next.write(payloads[2]);
  const { done, payload } = await two.next.read(three.message);
  expect(hex(payload)).toBe(hex(payloads[2]));
  expect(hex(done.handshakeHash)).toBe(hex(three.done.handshakeHash));
});
