import type { Socket } from "bun";

/** How a connection of a test ended: in order, or by a reset. */
export type ConnectionEnd = "fin" | "reset";

/** One connection as a test sees it. */
export class TestConnection {
  readonly received: Uint8Array[] = [];
  /** The far end's FIN, or its reset. */
  readonly ended: Promise<ConnectionEnd>;
  readonly closed: Promise<ConnectionEnd>;
  receivedBytes = 0;
  readonly #settleEnd: (end: ConnectionEnd) => void;
  readonly #settleClose: (end: ConnectionEnd) => void;
  socket: Socket<undefined> | undefined;
  #waiting: Uint8Array[] = [];
  #ending = false;
  #gone = false;
  #drained: (() => void) | undefined;

  constructor() {
    const [ended, closed] = [Promise.withResolvers<ConnectionEnd>(), Promise.withResolvers<ConnectionEnd>()];
    this.ended = ended.promise;
    this.closed = closed.promise;
    this.#settleEnd = ended.resolve;
    this.#settleClose = closed.resolve;
  }

  get text(): string {
    return Buffer.concat(this.received).toString();
  }

  /** Resolves when all was taken by the system; never, once the connection is gone. */
  async write(bytes: Uint8Array | string): Promise<void> {
    if (this.#gone) await new Promise(() => undefined);
    this.#waiting.push(typeof bytes === "string" ? Buffer.from(bytes) : bytes);
    this.flush();
    if (this.#waiting.length === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }

  end(): void {
    this.#ending = true;
    this.flush();
  }

  reset(): void {
    this.socket?.terminate();
  }

  flush(): void {
    while (this.#waiting.length > 0) {
      const [first = new Uint8Array(0)] = this.#waiting;
      const written = this.socket?.write(first) ?? 0;
      if (written < first.length) {
        this.#waiting[0] = first.subarray(Math.max(0, written));
        return;
      }
      this.#waiting.shift();
    }
    this.#drained?.();
    if (this.#ending) this.socket?.shutdown();
  }

  took(bytes: Uint8Array): void {
    this.received.push(bytes);
    this.receivedBytes += bytes.length;
  }

  hadEnd(): void {
    this.#settleEnd("fin");
  }

  wasClosed(error: unknown): void {
    const end = error === undefined || error === null ? "fin" : "reset";
    this.#settleEnd(end);
    this.#settleClose(end);
    this.#gone = true;
  }
}

const handlers = (connection: TestConnection, took?: (bytes: Uint8Array) => void, hadEnd?: () => void) => ({
  open(socket: Socket<undefined>) {
    connection.socket = socket;
  },
  data(_: Socket<undefined>, bytes: Uint8Array) {
    connection.took(bytes);
    took?.(bytes);
  },
  drain: () => connection.flush(),
  end() {
    connection.hadEnd();
    hadEnd?.();
  },
  close: (_: Socket<undefined>, error?: Error) => connection.wasClosed(error),
  error: () => undefined,
});

/** Connects to a port of 127.0.0.1, or to a Unix socket. */
export async function connectTo(at: number | string): Promise<TestConnection> {
  const connection = new TestConnection();
  const socket = handlers(connection);
  if (typeof at === "string") await Bun.connect<undefined>({ unix: at, allowHalfOpen: true, socket, data: undefined });
  else await Bun.connect<undefined>({ hostname: "127.0.0.1", port: at, allowHalfOpen: true, socket, data: undefined });
  return connection;
}

/** A TCP server of a test; without `serve` it echoes, and answers FIN with FIN. */
export interface TestServer extends Disposable {
  readonly port: number;
  readonly connections: TestConnection[];
}

/** What a server does with what comes. */
export interface Serve {
  data?(connection: TestConnection, bytes: Uint8Array): void;
  end?(connection: TestConnection): void;
  open?(connection: TestConnection): void;
}

export const serveTcp = (serve: Serve = {}): TestServer => listen(serve);

/** The same over TLS, with PEM texts. */
export const serveTls = (tls: { readonly cert: string; readonly key: string }, serve: Serve = {}): TestServer =>
  listen(serve, tls);

function listen(serve: Serve, tls?: { readonly cert: string; readonly key: string }): TestServer {
  const connections: TestConnection[] = [];
  const { data = (connection, bytes) => void connection.write(bytes.slice()), end = (connection) => connection.end() } =
    serve;
  type State = { own: TestConnection };
  const listener = Bun.listen<State>({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    ...(tls === undefined ? {} : { tls: { ...tls } }),
    socket: {
      open(socket) {
        const own = new TestConnection();
        own.socket = socket as unknown as Socket<undefined>; // the test looks at nothing it carries
        socket.data = { own };
        connections.push(own);
        serve.open?.(own);
      },
      data(socket, bytes) {
        socket.data.own.took(bytes);
        data(socket.data.own, bytes);
      },
      drain: (socket) => socket.data.own.flush(),
      end(socket) {
        socket.data.own.hadEnd();
        end(socket.data.own);
      },
      close: (socket, error) => socket.data.own.wasClosed(error),
      error: () => undefined,
    },
  });
  return { port: listener.port, connections, [Symbol.dispose]: () => listener.stop(true) };
}
