import { chmodSync } from "node:fs";
import type { Socket, TCPSocketListener, UnixSocketListener } from "bun";
import { Fault } from "#lib/fault";
import { removeDeadSocket } from "./dead-socket.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Who gets what happens on a socket. */
export interface TcpReceiver {
  /** The next bytes, which belong to the receiver. None come while the socket is paused. */
  data(bytes: Bytes): void;
  /** The far end's FIN: nothing more comes, and what is written still goes. */
  ended(): void;
  /** All that was written has been taken by the system. */
  drained(): void;
  /** The socket is gone; `fault` when it did not end in order (a reset, a time-out). Once, the last. */
  closed(fault: Fault | undefined): void;
}

/** One stream socket, TCP or Unix, both halves on their own (RFC 9293 §3.6). Never reads more than its receiver takes. */
export interface TcpSocket {
  /** Address and port of the far end; empty and 0 for a Unix socket. */
  readonly remote: { readonly host: string; readonly port: number };
  /** The same of the near end. */
  readonly local: { readonly host: string; readonly port: number };
  /** Names the receiver, once: reading begins. */
  receive(receiver: TcpReceiver): void;
  pause(): void;
  resume(): void;
  /** Queues bytes, which must not change until they have left. False: wait for `drained` before the next. No effect once it is gone. */
  write(bytes: Bytes): boolean;
  /** FIN behind what was written. */
  end(): void;
  /** RST: both halves end at once, and what was not sent is dropped. */
  reset(): void;
}

/** A listening socket. Disposing takes no new connections; those that are open stay their takers'. */
export interface TcpListener extends Disposable {
  /** 0 for a Unix socket. */
  readonly port: number;
}

/** Where to listen: an address and a port (0 = any free one), or the path of a Unix socket, which its owner alone may use (0600). */
export type TcpListenAt = { readonly host: string; readonly port: number } | { readonly unix: string };

/** Listens. Fault `config` when the address can't be had. */
export function listenTcp(at: TcpListenAt, taken: (socket: TcpSocket) => void): TcpListener {
  const handlers = {
    ...socketHandlers,
    open(socket: Socket<SocketState>) {
      const own = new BunTcpSocket(socket);
      socket.data = { own };
      taken(own);
    },
  };
  try {
    if ("unix" in at) {
      removeDeadSocket(at.unix);
      const listener = Bun.listen<SocketState>({ unix: at.unix, allowHalfOpen: true, socket: handlers });
      chmodSync(at.unix, 0o600);
      return listenerOf(listener, 0);
    }
    const listener = Bun.listen<SocketState>({
      hostname: at.host,
      port: at.port,
      allowHalfOpen: true,
      exclusive: true,
      socket: handlers,
    });
    return listenerOf(listener, listener.port);
  } catch (cause) {
    const where = "unix" in at ? at.unix : `${at.host} port ${at.port}`;
    throw new Fault("config", `cannot listen on ${where}`, { detail: { reason: reasonOf(cause) }, cause });
  }
}

/** Connects to an address (no name). Faults: `unavailable` (detail `reason`), `timeout`; rejects with the signal's reason. */
export async function connectTcp(
  to: { readonly host: string; readonly port: number },
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<TcpSocket> {
  const { timeoutMs, signal } = options;
  signal?.throwIfAborted();
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Fault("timeout", "no connection in time")), timeoutMs);
  const abort = () => late.reject(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  const connecting = Bun.connect<SocketState>({
    hostname: to.host,
    port: to.port,
    allowHalfOpen: true,
    data: { own: undefined },
    socket: socketHandlers,
  }).then((socket) => {
    const own = new BunTcpSocket(socket);
    socket.data = { own };
    return own;
  });
  try {
    return await Promise.race([connecting, late.promise]);
  } catch (error) {
    void connecting.then(
      (socket) => socket.reset(),
      () => undefined, // refused after it was given up
    );
    if (error instanceof Fault || signal?.aborted) throw error;
    const reason = reasonOf(error);
    throw new Fault("unavailable", `no connection (${reason})`, { detail: { ...to, reason }, cause: error });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

/** What Bun carries along with each socket. */
export interface SocketState {
  readonly own: BunTcpSocket | undefined;
}

export const socketHandlers = {
  binaryType: "uint8array" as const,
  data: (socket: Socket<SocketState>, bytes: Uint8Array) => socket.data.own?.took(bytes as Bytes), // over a buffer of its own
  end: (socket: Socket<SocketState>) => socket.data.own?.ended(),
  drain: (socket: Socket<SocketState>) => socket.data.own?.drained(),
  error: () => undefined, // `close` follows and says no less
  close: (socket: Socket<SocketState>, error?: Error) => socket.data.own?.closed(error),
};

const nobody: TcpReceiver = {
  data: () => undefined,
  ended: () => undefined,
  drained: () => undefined,
  closed: () => undefined,
};

export class BunTcpSocket implements TcpSocket {
  readonly remote: TcpSocket["remote"];
  readonly local: TcpSocket["local"];
  readonly #socket: Socket<SocketState>;
  #receiver: TcpReceiver | undefined;
  /** What the system did not take yet, in order. */
  #waiting: Bytes[] = [];
  #ending = false;
  #sawEnd = false;
  #gone = false;
  #fault: Fault | undefined;

  constructor(socket: Socket<SocketState>) {
    this.#socket = socket;
    this.remote = { host: socket.remoteAddress ?? "", port: socket.remotePort ?? 0 };
    this.local = { host: socket.localAddress ?? "", port: socket.localPort ?? 0 };
    socket.setNoDelay?.(true);
    socket.setKeepAlive?.(true, 60_000);
    socket.pause(); // until somebody receives
  }

  receive(receiver: TcpReceiver): void {
    if (this.#receiver !== undefined) throw new TypeError("a socket has one receiver");
    this.#receiver = receiver;
    if (this.#gone) this.#tellClosed();
    else this.#socket.resume();
  }

  pause(): void {
    if (!this.#gone) this.#socket.pause();
  }

  resume(): void {
    if (!this.#gone) this.#socket.resume();
  }

  write(bytes: Bytes): boolean {
    if (this.#gone || this.#ending) return true;
    if (this.#waiting.length === 0) {
      const written = this.#socket.write(bytes);
      if (written >= bytes.length) return true;
      this.#waiting.push(written > 0 ? bytes.subarray(written) : bytes);
    } else this.#waiting.push(bytes);
    return false;
  }

  end(): void {
    if (this.#gone || this.#ending) return;
    this.#ending = true;
    if (this.#waiting.length === 0) this.#socket.shutdown();
  }

  reset(): void {
    if (this.#gone) return;
    this.#waiting = [];
    this.#socket.terminate();
  }

  /** From Bun: bytes came. */
  took(bytes: Bytes): void {
    this.#receiver?.data(bytes);
  }

  /** From Bun: the far end's FIN. */
  ended(): void {
    if (this.#sawEnd) return;
    this.#sawEnd = true;
    this.#receiver?.ended();
  }

  /** From Bun: the system takes more. */
  drained(): void {
    if (this.#waiting.length === 0) return;
    while (this.#waiting.length > 0) {
      const [first] = this.#waiting;
      if (first === undefined) break;
      const written = this.#socket.write(first);
      if (written < first.length) {
        if (written > 0) this.#waiting[0] = first.subarray(written);
        return;
      }
      this.#waiting.shift();
    }
    if (this.#ending) this.#socket.shutdown();
    else this.#receiver?.drained();
  }

  /** From Bun: the socket is gone. */
  closed(error: Error | undefined): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#waiting = [];
    if (error !== undefined)
      this.#fault = new Fault("wire_lost", `the connection was lost (${reasonOf(error)})`, {
        detail: { reason: reasonOf(error) },
      });
    if (this.#receiver !== undefined) this.#tellClosed();
  }

  #tellClosed(): void {
    const receiver = this.#receiver ?? nobody;
    if (this.#fault === undefined && !this.#sawEnd) receiver.ended(); // both halves ended at once
    receiver.closed(this.#fault);
  }
}

function listenerOf(
  listener: TCPSocketListener<SocketState> | UnixSocketListener<SocketState>,
  port: number,
): TcpListener {
  return { port, [Symbol.dispose]: () => listener.stop(false) };
}

export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  if ("code" in error && typeof error.code === "string") return error.code;
  return /\bE[A-Z]{3,}\b/.exec(error.message)?.[0] ?? "unknown";
}
