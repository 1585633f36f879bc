import { type Bytes, readUint64 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { recordPlaintextBytesMax } from "#lib/limits";
import { messageKind } from "./kind.ts";

/** Additional data of every record: its kind. */
export const recordAdditionalData: Bytes = new Uint8Array([messageKind.record]);
/** kind 1 ‖ counter 8. */
export const recordHeaderBytes = 9;
const tagBytes = 16;
export const recordBytesMax = recordHeaderBytes + recordPlaintextBytesMax + tagBytes;
/** A channel closes before this counter: 2^48. */
export const recordCounterMax = 2 ** 48;

/**
 * 0x02 ‖ counter, 8 bytes big-endian ‖ `sealed` (ciphertext ‖ 16-byte tag), written into `scratch` if it fits there, behind
 * `roomBytes` that the caller's wire may use.
 */
export function encodeRecord(counter: number, sealed: Bytes, scratch?: Bytes, roomBytes = 0): Bytes {
  const length = recordHeaderBytes + sealed.length;
  const whole = roomBytes + length;
  const record = (
    scratch !== undefined && scratch.length >= whole ? scratch.subarray(0, whole) : new Uint8Array(whole)
  ).subarray(roomBytes);
  const view = new DataView(record.buffer, record.byteOffset);
  view.setUint8(0, messageKind.record);
  view.setUint32(1, Math.floor(counter / 0x1_0000_0000));
  view.setUint32(5, counter >>> 0);
  record.set(sealed, recordHeaderBytes);
  return record;
}

/** Counter (below 2^48) and ciphertext ‖ tag, a view. Fault `malformed` for another kind or length. */
export function decodeRecord(record: Bytes): { readonly counter: number; readonly sealed: Bytes } {
  const fits = record.length > recordHeaderBytes + tagBytes && record.length <= recordBytesMax;
  if (record[0] !== messageKind.record || !fits) throw new Fault("malformed", "not a record");
  if (record[1] !== 0 || record[2] !== 0) throw new Fault("record_order", "a record counter of 2^48 or more");
  return { counter: readUint64(record, 1), sealed: record.subarray(recordHeaderBytes) };
}
