import { type Bytes, concat, fromUtf8, utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { socketMessageBytesMax } from "#lib/limits";
import type { ByteSource } from "./http-head.ts";

/** What travels for an open WebSocket (RFC 6455 §5.6, §7.1.5), in either direction. `close` is the last. */
export type SocketMessage =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "binary"; readonly bytes: Bytes }
  | { readonly type: "close"; readonly code: number; readonly reason: string };

const kinds = { text: 0x01, binary: 0x02, close: 0x08 } as const;
const headerBytes = 5;

/** Kind, 4-byte length, payload; a close is 2 bytes of code and its reason. */
export function encodeSocketMessage(message: SocketMessage): Bytes {
  const payload = payloadOf(message);
  const out = new Uint8Array(headerBytes + payload.length);
  out[0] = kinds[message.type];
  new DataView(out.buffer).setUint32(1, payload.length);
  out.set(payload, headerBytes);
  return out;
}

function payloadOf(message: SocketMessage): Bytes {
  if (message.type === "text") return utf8(message.text);
  if (message.type === "binary") return message.bytes;
  return concat(new Uint8Array([message.code >> 8, message.code & 0xff]), utf8(message.reason));
}

/** The messages in what comes, to its end. Faults: `malformed`, `too_large`; the source's own. */
export async function* socketMessages(first: Bytes, source: ByteSource): AsyncGenerator<SocketMessage> {
  let bytes = first;
  for (;;) {
    while (bytes.length >= headerBytes) {
      const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
      if (length > socketMessageBytesMax) throw new Fault("too_large", "a message too large");
      if (bytes.length < headerBytes + length) break;
      yield decode(bytes[0] ?? 0, bytes.subarray(headerBytes, headerBytes + length));
      bytes = bytes.subarray(headerBytes + length);
    }
    const needed =
      bytes.length < headerBytes
        ? headerBytes
        : headerBytes + new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
    const pieces = [bytes];
    for (let held = bytes.length; held < needed; ) {
      const piece = await source.read();
      if (piece === null) {
        if (held > 0) throw new Fault("malformed", "the stream ended in a message");
        return;
      }
      pieces.push(piece);
      held += piece.length;
    }
    bytes = pieces.length === 1 ? bytes : concat(...pieces);
  }
}

function decode(kind: number, payload: Bytes): SocketMessage {
  switch (kind) {
    case kinds.text:
      return { type: "text", text: textOf(payload) };
    case kinds.binary:
      return { type: "binary", bytes: payload };
    case kinds.close: {
      const code = payload.length < 2 ? 0 : ((payload[0] ?? 0) << 8) | (payload[1] ?? 0);
      if (code < 1_000 || code > 4_999 || payload.length > 125) throw new Fault("malformed", "no close of a WebSocket");
      return { type: "close", code, reason: textOf(payload.subarray(2)) };
    }
    default:
      throw new Fault("malformed", "no message of a WebSocket");
  }
}

function textOf(bytes: Bytes): string {
  try {
    return fromUtf8(bytes);
  } catch (cause) {
    throw new Fault("malformed", "a text that is no UTF-8", { cause });
  }
}
