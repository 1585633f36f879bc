import { z } from "zod";
import { type Bytes, concat, decodeCbor, encodeCbor, equalBytes } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { Fault, type FaultCode, isFaultCode } from "#lib/fault";
import { answerBytesMax } from "#lib/limits";
import { idClaim } from "./claims.ts";
import type { HeaderKeys } from "./header-keys.ts";

const macBytes = 32;

const answerSchema = z.strictObject({
  /** Why the opening was refused. */
  code: z.string().regex(/^[a-z][a-z_]{0,63}$/),
  /** Of the header it answers. */
  jti: idClaim,
  /** Solaris' clock, ms since 1970. */
  time: z.int().min(0),
  /** When to come again, ms from now; null = as the code says. */
  retryAfter: z.nullable(z.int().min(0)),
});

/** Solaris' own word on a refused opening, which no Nexus can make or change (PROTOCOL §5). */
export interface Answer {
  readonly code: FaultCode;
  readonly jti: string;
  /** ms since 1970: the only time an agent corrects its clock by, outside a session. */
  readonly timeMs: number;
  readonly retryAfterMs: number | null;
}

/** The answer as it stands in a `0x04` message: 32-byte HMAC-SHA-256 under `keys.answer` ‖ deterministic CBOR. */
export async function makeAnswer(
  suite: CryptoSuite,
  keys: Pick<HeaderKeys, "answer">,
  { code, jti, timeMs, retryAfterMs }: Answer,
): Promise<Bytes> {
  const body = encodeCbor(answerSchema.parse({ code, jti, time: timeMs, retryAfter: retryAfterMs }));
  return concat(await suite.hmacSha256(keys.answer, body), body);
}

/**
 * The answer to the header with this `jti`. Faults: `too_large` (above 512 bytes), `authorization_invalid` when the MAC does
 * not hold, it answers another header, or is none; a code unknown here becomes `forbidden`.
 */
export async function verifyAnswer(
  suite: CryptoSuite,
  keys: Pick<HeaderKeys, "answer">,
  bytes: Uint8Array,
  { jti }: { readonly jti: string },
): Promise<Answer> {
  if (bytes.length > answerBytesMax) throw new Fault("too_large", "an answer above its limit");
  const [mac, body] = [bytes.subarray(0, macBytes), bytes.slice(macBytes)];
  if (!equalBytes(await suite.hmacSha256(keys.answer, body), mac))
    throw new Fault("authorization_invalid", "the MAC of an answer does not hold");
  const answer = readAnswer(body);
  if (answer.jti !== jti) throw new Fault("authorization_invalid", "the answer to another opening");
  const code = isFaultCode(answer.code) ? answer.code : "forbidden";
  return { code, jti, timeMs: answer.time, retryAfterMs: answer.retryAfter };
}

function readAnswer(body: Uint8Array): z.infer<typeof answerSchema> {
  try {
    return answerSchema.parse(decodeCbor(body));
  } catch (cause) {
    throw new Fault("authorization_invalid", "not an answer", { cause });
  }
}
