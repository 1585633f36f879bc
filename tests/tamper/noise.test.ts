import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { utf8 } from "#lib/bytes";
import { nobleSuite, webSuite } from "#lib/crypto";
import { expectFault } from "#support/faults";
import { runHandshake, type Wire } from "#support/noise-handshake";
import { withBitTurned } from "#support/octets";

setDefaultTimeout(30_000);

const payloads = [utf8("one"), utf8("two"), utf8("three")] as const;
const numbers = [1, 2, 3] as const;

/** Lengths of the three messages with these payloads. */
const lengths = [32 + 3, 96 + 3, 64 + 5] as const;

describe.each([
  ["web", webSuite],
  ["noble", nobleSuite],
] as const)("a handshake on %s fails", (_name, suite) => {
  const fails = (wire: Wire) => expectFault(runHandshake(suite, payloads, { wire }), "handshake");
  const only = (at: number, change: (message: Uint8Array) => Uint8Array): Wire => {
    return (message, number) => (number === at ? change(message) : message);
  };

  test("never without tampering", async () => {
    const { messages } = await runHandshake(suite, payloads);
    expect(messages.map((message) => message.length)).toEqual([...lengths]);
  });

  test.each(numbers)(
    "when any one byte of message %i is changed",
    async (number) => {
      for (let index = 0; index < (lengths[number - 1] ?? 0); index++)
        await fails(only(number, (message) => withBitTurned(message, index, index % 8)));
    },
    30_000,
  );

  // X25519 ignores the top bit of a key, so that only the hash of the handshake notices.
  test.each([1, 2])("when the ignored bit of the key in message %i is turned", async (number) => {
    await fails(only(number, (message) => withBitTurned(message, 31, 7)));
  });

  test.each(numbers)(
    "when message %i is cut short at any length",
    async (number) => {
      for (let length = 0; length < (lengths[number - 1] ?? 0); length++)
        await fails(only(number, (message) => message.subarray(0, length)));
    },
    30_000,
  );

  test.each(numbers)("when message %i is longer by one byte", async (number) => {
    await fails(only(number, (message) => Uint8Array.from([...message, 0])));
  });

  test("when messages come in each other's place", async () => {
    const { messages } = await runHandshake(suite, payloads);
    for (const at of numbers)
      for (const other of numbers)
        if (other !== at) await fails(only(at, () => messages[other - 1] ?? new Uint8Array(0)));
  });
});
