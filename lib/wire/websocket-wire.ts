import type { Bytes } from "#lib/bytes";
import type { Cancel, Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import { connectTimeoutMs, wireBufferedBytesMax } from "#lib/limits";
import { closeCode } from "./close-code.ts";
import { EarlyMessages } from "./early-messages.ts";
import { lostWire } from "./socket-wire.ts";
import type { Wire, WireReceiver } from "./wire.ts";

/** The runtime's client takes options that the DOM's type does not know. */
type OptionsWebSocket = new (
  url: string,
  options: {
    perMessageDeflate: false;
    protocols?: string[];
    headers?: Record<string, string>;
    proxy?: string;
    tls?: { ca: string[] };
  },
) => WebSocket;
const RuntimeWebSocket = WebSocket as unknown as OptionsWebSocket; // the same class, with the constructor it has here

/** How to reach a WebSocket server; what the runtime's client takes beyond the standard is passed through. */
export interface WebSocketTarget {
  /** `wss:` or `ws:`; whether `ws:` is allowed is the caller's decision. */
  readonly url: string;
  /** Subprotocols offered, preferred first (RFC 6455 §1.9). */
  readonly protocols?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  /** `http:` or `https:` proxy reached by CONNECT; user and password as Basic. */
  readonly proxy?: string;
  /** Custom certificate authorities (PEM), beside nothing else: they replace the built-in ones. */
  readonly ca?: readonly string[];
}

export interface WebSocketConnectOptions {
  readonly clock: Clock;
  /** ms until the upgrade must have been answered; default `connectTimeoutMs`. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** An open client wire and the subprotocol that the server chose ("" = none). */
export interface WebSocketConnection {
  readonly wire: Wire;
  readonly protocol: string;
}

/**
 * Opens a WebSocket with `permessage-deflate` off. Rejects with Fault `wire_lost` when it can't (a refused upgrade
 * shows as code 1006, never with status or body: FACTS), `timeout` when it takes too long.
 */
export function connectWebSocket(
  target: WebSocketTarget,
  options: WebSocketConnectOptions,
): Promise<WebSocketConnection> {
  return new Promise((resolve, reject) => {
    options.signal?.throwIfAborted();
    const socket = new RuntimeWebSocket(target.url, {
      perMessageDeflate: false,
      ...(target.protocols === undefined ? {} : { protocols: [...target.protocols] }),
      ...(target.headers === undefined ? {} : { headers: { ...target.headers } }),
      ...(target.proxy === undefined ? {} : { proxy: target.proxy }),
      ...(target.ca === undefined ? {} : { tls: { ca: [...target.ca] } }),
    });
    socket.binaryType = "arraybuffer";
    let cancel: Cancel = () => undefined;
    const settle = () => {
      cancel();
      options.signal?.removeEventListener("abort", abort);
      socket.removeEventListener("close", refused);
    };
    const give = (error: unknown) => {
      settle();
      socket.close();
      reject(error);
    };
    const abort = () => give(options.signal?.reason);
    const refused = (event: CloseEvent) => give(lostWire(event.code, event.reason));
    options.signal?.addEventListener("abort", abort, { once: true });
    cancel = options.clock.after(options.timeoutMs ?? connectTimeoutMs, () =>
      give(new Fault("timeout", "no answer to the upgrade")),
    );
    socket.addEventListener("error", () => undefined); // a close event follows and says no less
    socket.addEventListener("close", refused);
    socket.addEventListener("open", () => {
      settle();
      resolve({ wire: new ClientWire(socket), protocol: socket.protocol });
    });
  });
}

class ClientWire implements Wire {
  readonly #socket: WebSocket;
  readonly #inbound = new EarlyMessages();

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", (event: MessageEvent<unknown>) => {
      if (!(event.data instanceof ArrayBuffer)) this.close(closeCode.binaryOnly, "binary only");
      else if (!this.#inbound.message(new Uint8Array(event.data))) this.close(closeCode.tooEarly, "too much too early");
    });
    socket.addEventListener("close", (event) => this.#inbound.end(lostWire(event.code, event.reason)));
  }

  send(message: Bytes): void {
    if (this.#inbound.ended || this.#socket.readyState !== WebSocket.OPEN)
      throw new Fault("wire_lost", "sent on a closed wire");
    if (this.#socket.bufferedAmount + message.length > wireBufferedBytesMax) {
      this.close(closeCode.full, "buffer full");
      throw new Fault("wire_lost", "the peer does not take what is sent");
    }
    this.#socket.send(message);
  }

  bufferedBytes(): number {
    return this.#socket.bufferedAmount;
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
