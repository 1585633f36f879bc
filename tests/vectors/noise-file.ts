import { z } from "zod";
import { type Bytes, hex } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { CipherState, type HandshakeResult, noiseProtocolName, startInitiator, startResponder } from "#lib/noise";
import { hexField, parseFields } from "./fields.ts";
import { demandSame, Mismatch, notApplicable, onSuites, type SuiteName, type Verdict } from "./verdict.ts";

const none: Bytes = new Uint8Array(0);

/** cacophony has `name` in some versions where it has `protocol_name`, and snow has, in others. */
const nameFields = z.object({ protocol_name: z.string().optional(), name: z.string().optional() });

/** What makes a case one of another protocol whatever it is called: pre-shared keys, an expected failure. */
const otherFields = z.object({
  init_psks: z.array(z.unknown()).nullish(),
  resp_psks: z.array(z.unknown()).nullish(),
  init_psk: z.string().nullish(),
  resp_psk: z.string().nullish(),
  fallback: z.boolean().nullish(),
  fail: z.boolean().nullish(),
});

const prologue = hexField.nullish().transform((bytes) => bytes ?? none);

const fields = z.object({
  init_prologue: prologue,
  init_static: hexField,
  init_ephemeral: hexField,
  init_remote_static: hexField.nullish(),
  resp_prologue: prologue,
  resp_static: hexField,
  resp_ephemeral: hexField,
  resp_remote_static: hexField.nullish(),
  messages: z.array(z.object({ payload: hexField, ciphertext: hexField })).min(3, "has not the three messages of XX"),
  handshake_hash: hexField.nullish(),
  transport_first_sender: z
    .string()
    .regex(/^(init|resp)/i, "is neither initiator nor responder")
    .nullish()
    .transform((sender) => (sender?.toLowerCase().startsWith("init") ? "initiator" : "responder")),
});
type NoiseCase = z.output<typeof fields>;

/** The list of a file in the form of cacophony and snow, `{ vectors: [...] }`; a reason when it is none. */
export function noiseCases(file: unknown): { value: readonly unknown[] } | { reason: string } {
  if (typeof file === "object" && file !== null && "testGroups" in file)
    return { reason: "is a Wycheproof file: use `vectors wycheproof`" };
  const parsed = parseFields(z.object({ vectors: z.array(z.unknown()) }), file);
  return "value" in parsed ? { value: parsed.value.vectors } : { reason: `is no Noise vector file: ${parsed.reason}` };
}

/** Runs one vector: both sides, every message written and read, transport too. */
export async function runNoiseCase(vector: unknown, index: number, which: SuiteName): Promise<Verdict> {
  const named = parseFields(nameFields, vector);
  const protocol = "value" in named ? (named.value.protocol_name ?? named.value.name) : undefined;
  const name = `vector ${index + 1} (${protocol ?? "no name"})`;
  if (protocol === undefined) return { kind: "failed", name, reason: "has no protocol_name" };
  if (protocol !== noiseProtocolName) return notApplicable("another protocol");
  const other = parseFields(otherFields, vector);
  if ("reason" in other) return { kind: "failed", name, reason: other.reason };
  const { init_psks, resp_psks, init_psk, resp_psk, fallback, fail } = other.value;
  if ([init_psks, resp_psks, init_psk, resp_psk].some((psk) => (psk?.length ?? 0) > 0))
    return notApplicable("pre-shared keys");
  if (fallback || fail) return notApplicable("a fallback or an expected failure");
  const parsed = parseFields(fields, vector);
  if ("reason" in parsed) return { kind: "failed", name, reason: parsed.reason };
  return onSuites(which, name, async (suite) => {
    await transport(suite, parsed.value, await handshake(suite, parsed.value));
  });
}

interface Ends {
  readonly initiator: HandshakeResult;
  readonly responder: HandshakeResult;
}

async function handshake(suite: CryptoSuite, vector: NoiseCase): Promise<Ends> {
  const [first, second, third] = vector.messages;
  if (first === undefined || second === undefined || third === undefined) throw new Mismatch("too few messages");
  const initiator = startInitiator(suite, {
    prologue: vector.init_prologue,
    staticKey: await suite.agreementKey(vector.init_static),
    ephemeralKey: await suite.agreementKey(vector.init_ephemeral),
  });
  const responder = startResponder(suite, {
    prologue: vector.resp_prologue,
    staticKey: await suite.agreementKey(vector.resp_static),
    ephemeralKey: await suite.agreementKey(vector.resp_ephemeral),
  });
  // Each side reads what the file says, not what the other wrote: so each is checked by itself.
  const one = await initiator.write(first.payload);
  demandSame("message 1", one.message, first.ciphertext);
  const oneRead = await responder.read(first.ciphertext);
  demandSame("payload 1", oneRead.payload, first.payload);
  const two = await oneRead.next.write(second.payload);
  demandSame("message 2", two.message, second.ciphertext);
  const twoRead = await one.next.read(second.ciphertext);
  demandSame("payload 2", twoRead.payload, second.payload);
  const three = await twoRead.next.write(third.payload);
  demandSame("message 3", three.message, third.ciphertext);
  const threeRead = await two.next.read(third.ciphertext);
  demandSame("payload 3", threeRead.payload, third.payload);

  const ends = { initiator: three.done, responder: threeRead.done };
  for (const [side, end] of Object.entries(ends))
    if (vector.handshake_hash) demandSame(`handshake hash of the ${side}`, end.handshakeHash, vector.handshake_hash);
  if (hex(ends.initiator.handshakeHash) !== hex(ends.responder.handshakeHash))
    throw new Mismatch("two handshake hashes");
  if (vector.init_remote_static)
    demandSame("static key of the responder", ends.initiator.remoteStatic, vector.init_remote_static);
  if (vector.resp_remote_static)
    demandSame("static key of the initiator", ends.responder.remoteStatic, vector.resp_remote_static);
  return ends;
}

/**
 * After XX either side may send. Published files go on alternating, so that the responder sends message 4;
 * `transport_first_sender` says it where it is otherwise, and the two alternate from there.
 */
async function transport(suite: CryptoSuite, vector: NoiseCase, { initiator, responder }: Ends): Promise<void> {
  const direction = async (sendKey: Uint8Array, receiveKey: Uint8Array) => ({
    sending: await CipherState.initialize(suite, sendKey),
    receiving: await CipherState.initialize(suite, receiveKey),
  });
  const fromInitiator = await direction(initiator.sendKey, responder.receiveKey);
  const fromResponder = await direction(responder.sendKey, initiator.receiveKey);
  const initiatorFirst = vector.transport_first_sender === "initiator";
  for (const [index, { payload, ciphertext }] of vector.messages.slice(3).entries()) {
    const { sending, receiving } = (index % 2 === 0) === initiatorFirst ? fromInitiator : fromResponder;
    demandSame(`message ${index + 4}`, await sending.encryptWithAd(none, payload), ciphertext);
    demandSame(`payload ${index + 4}`, await receiving.decryptWithAd(none, ciphertext), payload);
  }
}
