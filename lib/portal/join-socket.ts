import type { Bytes } from "#lib/bytes";
import { asFault, Fault, type FaultCode, isFaultCode } from "#lib/fault";
import { portalUnsentBytesMax } from "#lib/limits";
import type { TcpSocket } from "#lib/runtime";
import type { PortalStream } from "./socket-stream.ts";

/** What went through a joined pair, and how it ended. */
export interface Joined {
  /** Bytes from the socket to the stream. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Why it was cut; undefined when both directions ended in order. */
  readonly fault: Fault | undefined;
}

/**
 * Passes bytes between a stream and a socket until both directions have ended: `fin` and FIN, reset and RST are carried over, in
 * either direction. What one side does not take is not read from the other. `received` may strip bytes off the stream's
 * beginning; `first` goes to the socket before anything else. Never rejects.
 */
export function joinSocket(
  stream: PortalStream,
  socket: TcpSocket,
  options: { readonly first?: Bytes; readonly received?: (bytes: Bytes) => Bytes } = {},
): Promise<Joined> {
  return new Promise((resolve) => new SocketJoint(stream, socket, options.received, resolve).begin(options.first));
}

class SocketJoint {
  readonly #stream: PortalStream;
  readonly #socket: TcpSocket;
  readonly #received: ((bytes: Bytes) => Bytes) | undefined;
  readonly #done: (joined: Joined) => void;
  #sentBytes = 0;
  #receivedBytes = 0;
  /** Read from the socket, and not taken by the stream yet. */
  #unsentBytes = 0;
  #paused = false;
  #sentAll = false;
  #receivedAll = false;
  #over = false;
  #drained: (() => void) | undefined;

  constructor(
    stream: PortalStream,
    socket: TcpSocket,
    received: ((bytes: Bytes) => Bytes) | undefined,
    done: (joined: Joined) => void,
  ) {
    this.#stream = stream;
    this.#socket = socket;
    this.#received = received;
    this.#done = done;
  }

  begin(first: Bytes | undefined): void {
    this.#socket.receive({
      data: (bytes) => this.#send(bytes),
      ended: () => {
        this.#stream.end();
        this.#sentAll = true;
        this.#settle();
      },
      drained: () => this.#goOn(),
      closed: (fault) => {
        if (fault !== undefined || !this.#receivedAll)
          this.#cut(fault ?? new Fault("closed", "the connection was closed"));
        this.#goOn();
      },
    });
    void this.#receive(first);
  }

  #send(bytes: Bytes): void {
    const { length } = bytes;
    this.#sentBytes += length;
    this.#unsentBytes += length;
    this.#stream.write(bytes).then(
      () => {
        this.#unsentBytes -= length;
        if (!this.#paused || this.#unsentBytes > portalUnsentBytesMax / 2) return;
        this.#paused = false;
        this.#socket.resume();
      },
      (error: unknown) => this.#cut(asFault(error, "internal")),
    );
    if (this.#unsentBytes <= portalUnsentBytesMax || this.#paused) return;
    this.#paused = true;
    this.#socket.pause();
  }

  async #receive(first: Bytes | undefined): Promise<void> {
    try {
      if (first !== undefined && first.length > 0) await this.#write(first);
      while (!this.#over) {
        const piece = await this.#stream.read();
        if (piece === null) break;
        const bytes = this.#received === undefined ? piece : this.#received(piece);
        if (bytes.length > 0) await this.#write(bytes);
      }
      this.#socket.end();
      this.#receivedAll = true;
      this.#settle();
    } catch (error) {
      this.#cut(asFault(error, "internal"));
    }
  }

  /** Waits only where the system does not take it at once. */
  #write(bytes: Bytes): Promise<void> | undefined {
    this.#receivedBytes += bytes.length;
    if (this.#socket.write(bytes)) return undefined;
    return new Promise((resolve) => {
      this.#drained = resolve;
    });
  }

  #goOn(): void {
    const drained = this.#drained;
    this.#drained = undefined;
    drained?.();
  }

  #cut(fault: Fault): void {
    if (this.#over) return;
    this.#finish(fault); // first: the socket says at once that it is closed
    this.#stream.reset(resetCodeOf(fault));
    this.#socket.reset();
  }

  #settle(): void {
    if (this.#sentAll && this.#receivedAll) this.#finish(undefined);
  }

  #finish(fault: Fault | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#goOn();
    this.#done({ sentBytes: this.#sentBytes, receivedBytes: this.#receivedBytes, fault });
  }
}

/** The code that the other end of a stream is told: the connection's own reset is `closed`. */
function resetCodeOf({ code }: Fault): FaultCode {
  return code === "wire_lost" || code === "stream_reset" ? "closed" : code;
}

/** Why the other end has reset a stream; the fault itself for any other. */
export function resetReason(fault: Fault): Fault {
  const { code } = fault.detail;
  if (fault.code !== "stream_reset" || typeof code !== "string") return fault;
  return new Fault(isFaultCode(code) ? code : "closed", `the other end has ended it: ${code}`, { cause: fault });
}
