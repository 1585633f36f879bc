import { serveHttp, systemClock } from "#lib/runtime";
import { connectWebSocket, serverWire, type WebSocketConnection, type Wire } from "#lib/wire";

export interface WebSocketPair extends AsyncDisposable {
  readonly client: Wire;
  readonly server: Wire;
  readonly connection: WebSocketConnection;
}

/** A client's and a server's wire over a loopback WebSocket. */
export async function webSocketPair(): Promise<WebSocketPair> {
  const opened = Promise.withResolvers<Wire>();
  const server = serveHttp({
    host: "127.0.0.1",
    port: 0,
    drainMs: 0,
    fetch(_request, connection) {
      const socket = connection.upgrade();
      if (socket === undefined) return new Response(null, { status: 426 });
      opened.resolve(serverWire(socket));
      return new Response(null);
    },
  });
  const url = server.origin.replace("http", "ws");
  const connection = await connectWebSocket({ url }, { clock: systemClock });
  const wire = await opened.promise;
  return {
    client: connection.wire,
    server: wire,
    connection,
    async [Symbol.asyncDispose]() {
      connection.wire.close(1_000, "");
      await server[Symbol.asyncDispose]();
    },
  };
}
