import { chmodSync } from "node:fs";
import type { Server, ServerWebSocket } from "bun";
import { Fault } from "#lib/fault";
import { wireBufferedBytesMax, wireMessageBytesMax } from "#lib/limits";
import { removeDeadSocket } from "../network/dead-socket.ts";
import { BunSocket, type ServerSocket, type SocketData } from "./server-socket.ts";

/** The connection that a request came on. Hono gets it as `c.env`. */
export interface HttpConnection {
  /** Address of the socket's other end: the client's, or a proxy's. */
  readonly address: string;
  /**
   * Turns the connection into a WebSocket; `headers` go into the 101 answer (`sec-websocket-protocol`). Undefined when the request is
   * no upgrade or the client is gone. Whatever the handler answers afterwards is dropped.
   */
  upgrade(headers?: Readonly<Record<string, string>>): ServerSocket | undefined;
  /**
   * Lets this request be silent for as long as it likes (long polls, live streams). What it answers is to be called when the
   * request is all but over: its connection may wait for another no longer than others do.
   */
  keepOpen(): () => void;
}

/** How a server listens. */
export interface HttpServerOptions {
  /** Address to listen on, such as `127.0.0.1` or `::`. */
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
  /** Path of a Unix socket (0600) to listen on instead. */
  readonly unix?: string;
  /** Answers a request. What it throws becomes a bare 500 and goes to `onError`. */
  fetch(request: Request, connection: HttpConnection): Response | Promise<Response>;
  /** Certificate chain and private key, PEM texts. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Larger request bodies are refused with 413. Default 16 MiB. */
  readonly bodyBytesMax?: number;
  /** A connection silent for this long is closed, ms; whole seconds, at most 255 s. Default 30,000. */
  readonly idleTimeoutMs?: number;
  /** WebSocket messages larger than this close their socket. Default `wireMessageBytesMax`. */
  readonly messageBytesMax?: number;
  /** Whether WebSockets that never speak are kept by pings; else they end after 120 s. Default false. */
  readonly keepSocketsOpen?: boolean;
  /** How long requests under way may take to finish when the server is disposed, ms. Default 10,000. */
  readonly drainMs?: number;
  readonly onError?: (error: unknown) => void;
}

/** A listening server. Disposing takes no new connection, lets requests finish for `drainMs`, then cuts what is left. */
export interface HttpServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Like `http://127.0.0.1:8080`. */
  readonly origin: string;
  /** New connections are refused from now on; what is open goes on until the server is disposed. */
  stopAccepting(): void;
}

const mebibyte = 1024 * 1024;

/** Serves HTTP and WebSocket. Fault `config` when the address can't be listened on. */
export function serveHttp(options: HttpServerOptions): HttpServer {
  const server = listen(options);
  const port = server.port ?? options.port;
  const host = options.host.includes(":") ? `[${options.host}]` : options.host;
  let stopped: Promise<void> | undefined;
  let disposed: Promise<void> | undefined;
  const stop = () => {
    stopped ??= server.stop(false);
    return stopped;
  };
  const drain = async () => {
    const drainMs = options.drainMs ?? 10_000;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, drainMs);
    });
    await Promise.race([stop(), deadline]);
    clearTimeout(timer);
    await server.stop(true);
  };
  return {
    host: options.host,
    port,
    origin: `${options.tls === undefined ? "http" : "https"}://${host}:${port}`,
    stopAccepting: () => void stop(),
    [Symbol.asyncDispose]() {
      disposed ??= drain();
      return disposed;
    },
  };
}

function listen(options: HttpServerOptions): Server<SocketData> {
  const internal = () => new Response(null, { status: 500 });
  const idleSeconds = Math.ceil((options.idleTimeoutMs ?? 30_000) / 1_000);
  try {
    const { unix } = options;
    if (unix !== undefined) removeDeadSocket(unix);
    const handlers = {
      development: false,
      ...(options.tls === undefined ? {} : { tls: options.tls }),
      maxRequestBodySize: options.bodyBytesMax ?? 16 * mebibyte,
      async fetch(request: Request, server: Server<SocketData>) {
        const data: SocketData = { socket: undefined };
        try {
          const response = await options.fetch(request, connectionOf(request, server, data, idleSeconds));
          return data.socket === undefined ? response : undefined;
        } catch (error) {
          options.onError?.(error);
          return internal();
        }
      },
      error(error: Error) {
        options.onError?.(error);
        return internal();
      },
      websocket: {
        perMessageDeflate: false,
        maxPayloadLength: options.messageBytesMax ?? wireMessageBytesMax,
        // Ours (wireBufferedBytesMax) is reached first: past Bun's a message would be dropped in silence.
        backpressureLimit: 2 * wireBufferedBytesMax,
        closeOnBackpressureLimit: false,
        // The tunnel's own heartbeat is far quicker; this is for what never speaks.
        idleTimeout: 120,
        sendPings: options.keepSocketsOpen ?? false,
        open(socket: ServerWebSocket<SocketData>) {
          socket.binaryType = "uint8array";
          socket.data.socket = new BunSocket(socket);
        },
        message: (socket: ServerWebSocket<SocketData>, message: string | Uint8Array) =>
          socket.data.socket?.took(ownBytes(message)),
        drain: (socket: ServerWebSocket<SocketData>) => socket.data.socket?.drained(),
        close: (socket: ServerWebSocket<SocketData>, code: number, reason: string) =>
          socket.data.socket?.ended(code, reason),
      },
    };
    if (unix !== undefined) {
      const server = Bun.serve<SocketData>({ ...handlers, unix });
      chmodSync(unix, 0o600);
      return server;
    }
    return Bun.serve<SocketData>({
      ...handlers,
      hostname: options.host,
      port: options.port,
      reusePort: false, // on by default while `development` is off (measured): another process would get half of the connections
      idleTimeout: idleSeconds,
    });
  } catch (cause) {
    throw new Fault("config", `cannot listen on ${options.unix ?? `${options.host} port ${options.port}`}`, { cause });
  }
}

function connectionOf(
  request: Request,
  server: Server<SocketData>,
  data: SocketData,
  idleSeconds: number,
): HttpConnection {
  return {
    address: server.requestIP(request)?.address ?? "",
    upgrade(headers = {}) {
      // Bun calls `open` inside `upgrade`, so the socket is there when it returns.
      return server.upgrade(request, { data, headers }) ? data.socket : undefined;
    },
    keepOpen() {
      server.timeout(request, 0);
      return () => server.timeout(request, idleSeconds);
    },
  };
}

/** Bun's `uint8array` messages are over plain ArrayBuffers; the type says less. */
function ownBytes(message: string | Uint8Array): string | Uint8Array<ArrayBuffer> {
  return message as string | Uint8Array<ArrayBuffer>;
}
