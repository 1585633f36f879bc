import type { ServerWebSocket } from "bun";
import { wireEarlyBytesMax } from "#lib/limits";

/** Who gets what happens on a server's WebSocket. */
export interface ServerSocketReceiver {
  /** A whole message; a text where the peer sent one. */
  message(message: Uint8Array<ArrayBuffer> | string): void;
  /** The socket is gone (RFC 6455 §7.1.5, §7.1.6). */
  close(code: number, reason: string): void;
  /** What was queued has left. */
  drained?(): void;
}

/** A server's side of one upgraded WebSocket: what `serverWire` of lib/wire takes. */
export interface ServerSocket {
  /** Bytes sent; -1 when queued behind back-pressure; 0 when dropped: it must never be passed over (DESIGN §8). */
  send(message: Uint8Array<ArrayBuffer>): number;
  /** The same for a text. */
  sendText(message: string): number;
  /** Bytes queued in this process. */
  bufferedAmount(): number;
  /** Reads nothing more of it until `resume`; messages that were read already still come. */
  pause(): void;
  resume(): void;
  close(code: number, reason: string): void;
  /** Names the receiver, once; what came before is held here, at most `wireEarlyBytesMax`, else the socket is closed (1008). */
  receive(receiver: ServerSocketReceiver): void;
}

/** What Bun carries along with each socket. */
export interface SocketData {
  socket: BunSocket | undefined;
}

/** One socket of Bun's server under the interface above. */
export class BunSocket implements ServerSocket {
  readonly #socket: ServerWebSocket<SocketData>;
  #receiver: ServerSocketReceiver | undefined;
  #early: (Uint8Array<ArrayBuffer> | string)[] = [];
  #earlyBytes = 0;
  #closed: { readonly code: number; readonly reason: string } | undefined;

  constructor(socket: ServerWebSocket<SocketData>) {
    this.#socket = socket;
  }

  send(message: Uint8Array<ArrayBuffer>): number {
    return this.#closed === undefined ? this.#socket.sendBinary(message) : 0;
  }

  sendText(message: string): number {
    return this.#closed === undefined ? this.#socket.sendText(message) : 0;
  }

  pause(): void {
    if (this.#closed === undefined) this.#socket.pause();
  }

  resume(): void {
    if (this.#closed === undefined) this.#socket.resume();
  }

  bufferedAmount(): number {
    return this.#closed === undefined ? this.#socket.getBufferedAmount() : 0;
  }

  close(code: number, reason: string): void {
    if (this.#closed === undefined) this.#socket.close(code, reason);
  }

  receive(receiver: ServerSocketReceiver): void {
    if (this.#receiver !== undefined) throw new TypeError("a socket has one receiver");
    this.#receiver = receiver;
    for (const message of this.#early.splice(0)) receiver.message(message);
    if (this.#closed !== undefined) receiver.close(this.#closed.code, this.#closed.reason);
  }

  /** From Bun: a message came. */
  took(message: Uint8Array<ArrayBuffer> | string): void {
    if (this.#receiver !== undefined) {
      this.#receiver.message(message);
      return;
    }
    this.#earlyBytes += message.length;
    if (this.#earlyBytes > wireEarlyBytesMax) this.close(1008, "too much too early");
    else this.#early.push(message);
  }

  /** From Bun: what was queued has left. */
  drained(): void {
    this.#receiver?.drained?.();
  }

  /** From Bun: the socket is gone. */
  ended(code: number, reason: string): void {
    if (this.#closed !== undefined) return;
    this.#closed = { code, reason };
    this.#receiver?.close(code, reason);
  }
}
