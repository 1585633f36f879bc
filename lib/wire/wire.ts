import type { Bytes } from "#lib/bytes";
import type { Fault } from "#lib/fault";

/** Who gets what arrives on a wire. */
export interface WireReceiver {
  /** One whole binary message. Its bytes are the receiver's to keep. */
  message(message: Bytes): void;
  /** Once, after the last message: why nothing more comes. */
  closed(fault: Fault): void;
}

/**
 * Moves whole binary messages to one peer, in both directions (DESIGN §3): a WebSocket, a relayed wire or an
 * in-memory pair. It promises nothing about secrecy, order or delivery: the channel above decides that.
 */
export interface Wire {
  /**
   * Queues one message of 1 … `wireMessageBytesMax` bytes: it is sent or copied before this returns, so its bytes may be used again. Throws Fault `wire_lost` or `closed` when it
   * could not be queued whole; the wire is closed then, since a message was passed over (DESIGN §8).
   */
  send(message: Bytes): void;
  /**
   * A wire inside another has a header of its own: so many bytes it wants in front of a message. `sendBehind` is `send` for a message
   * that has them, before its first byte, for the wire to write: it need not be copied for that.
   */
  readonly headerBytes?: number;
  sendBehind?(message: Bytes): void;
  /** Bytes queued here that have not left this process yet. */
  bufferedBytes(): number;
  /**
   * Names the receiver, once (TypeError on a second call). What came before is handed over first, in order and
   * before this returns; at most `wireEarlyBytesMax` are held that long.
   */
  receive(receiver: WireReceiver): void;
  /**
   * Closes after what is queued. `code` is a WebSocket close code (1000 or 3000 … 4999, RFC 6455 §7.4), `reason` at
   * most 123 bytes that anyone on the path may read. A second call does nothing.
   */
  close(code: number, reason: string): void;
}
