import { type Bytes, concat, readUint32, uint32, utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { answerBytesMax } from "#lib/limits";
import { messageKind } from "./kind.ts";

/** What a refused opening is told (PROTOCOL §5). Public and forgeable: only a verified `answer` means anything. */
export interface Refusal {
  /** 1 … 64 of `a-z_`. */
  readonly code: string;
  /** When to come again, ms from now, by Nexus' own word (its admission ramp); 0 or absent = as the code says. */
  readonly retryAfterMs?: number;
  /** Solaris' answer under its MAC, at most `answerBytesMax` bytes of text. */
  readonly answer?: string;
}

const codePattern = /^[a-z_]{1,64}$/;
const printable = /^[\x21-\x7e]*$/;

/** 0x04 ‖ length of the code 1 ‖ code ‖ retry after 4 ‖ answer (nothing, or its ASCII text to the end). */
export function encodeRefusal({ code, retryAfterMs = 0, answer = "" }: Refusal): Bytes {
  if (!codePattern.test(code) || answer.length > answerBytesMax || !printable.test(answer))
    throw new RangeError("not a refusal");
  return concat(new Uint8Array([messageKind.refusal, code.length]), utf8(code), uint32(retryAfterMs), utf8(answer));
}

/** The refusal of a message of kind 0x04. Fault `malformed`. */
export function decodeRefusal(message: Bytes): Refusal {
  const length = message[1] ?? 0;
  const code = String.fromCharCode(...message.subarray(2, 2 + length));
  const rest = message.length - 2 - length - 4;
  const fits = message[0] === messageKind.refusal && code.length === length && codePattern.test(code);
  if (!fits || rest < 0 || rest > answerBytesMax) throw new Fault("malformed", "not a refusal");
  const retryAfterMs = readUint32(message, 2 + length);
  const answer = String.fromCharCode(...message.subarray(6 + length));
  if (!printable.test(answer)) throw new Fault("malformed", "not a refusal");
  return { code, ...(retryAfterMs > 0 ? { retryAfterMs } : {}), ...(rest > 0 ? { answer } : {}) };
}
