import type { Bytes } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { wireBufferedBytesMax } from "#lib/limits";
import { closeCode } from "./close-code.ts";
import { EarlyMessages } from "./early-messages.ts";
import type { Wire, WireReceiver } from "./wire.ts";

/** Who gets what happens on a server's WebSocket. */
export interface ServerSocketReceiver {
  /** A whole message; a text where the peer sent one, which no wire allows. */
  message(message: Bytes | string): void;
  /** The socket is gone (RFC 6455 §7.1.5, §7.1.6). */
  close(code: number, reason: string): void;
}

/**
 * A server's side of one upgraded WebSocket, as `lib/runtime` hands it over. `permessage-deflate` is off and the
 * server's own limits are above ours (`wireBufferedBytesMax`, `wireMessageBytesMax`).
 */
export interface ServerSocket {
  /** Bytes sent; -1 when queued behind back-pressure; 0 when dropped: it must never be passed over (DESIGN §8). */
  send(message: Bytes): number;
  /** Bytes queued in this process. */
  bufferedAmount(): number;
  close(code: number, reason: string): void;
  /** Names the receiver, once; what came before is held by the socket or not read yet. */
  receive(receiver: ServerSocketReceiver): void;
}

/** The wire of a server's WebSocket. */
export function serverWire(socket: ServerSocket): Wire {
  return new ServerWire(socket);
}

class ServerWire implements Wire {
  readonly #socket: ServerSocket;
  readonly #inbound = new EarlyMessages();

  constructor(socket: ServerSocket) {
    this.#socket = socket;
    socket.receive({
      message: (message) => {
        if (typeof message === "string") this.close(closeCode.binaryOnly, "binary only");
        else if (!this.#inbound.message(message)) this.close(closeCode.tooEarly, "too much too early");
      },
      close: (code, reason) => this.#inbound.end(lostWire(code, reason)),
    });
  }

  send(message: Bytes): void {
    if (this.#inbound.ended) throw new Fault("wire_lost", "sent on a closed wire");
    const full = this.#socket.bufferedAmount() + message.length > wireBufferedBytesMax;
    if (full || this.#socket.send(message) === 0) {
      this.close(closeCode.full, "buffer full");
      throw new Fault("wire_lost", "the peer does not take what is sent");
    }
  }

  bufferedBytes(): number {
    return this.#socket.bufferedAmount();
  }

  receive(receiver: WireReceiver): void {
    this.#inbound.receive(receiver);
  }

  close(code: number, reason: string): void {
    if (this.#inbound.ended) return;
    this.#inbound.end(new Fault("closed", "closed here", { detail: { code, reason } })); // before the socket says so
    this.#socket.close(code, reason);
  }
}

/** The fault of a wire that ended from outside; `reason` is anyone's text, so it is cut and only shown. */
export function lostWire(code: number, reason: string): Fault {
  return new Fault("wire_lost", "the WebSocket was closed", { detail: { code, reason: reason.slice(0, 123) } });
}
