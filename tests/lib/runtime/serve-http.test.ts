import { afterEach, describe, expect, test } from "bun:test";
import { type HttpServer, type HttpServerOptions, type ServerSocket, serveHttp } from "#lib/runtime";
import { eventually } from "../../support/eventually.ts";
import { expectFault } from "../../support/faults.ts";
import { connectTo } from "../../support/tcp-peers.ts";

const servers: HttpServer[] = [];
const serve = (options: Partial<HttpServerOptions> & Pick<HttpServerOptions, "fetch">) => {
  const server = serveHttp({ host: "127.0.0.1", port: 0, ...options });
  servers.push(server);
  return server;
};
afterEach(async () => {
  for (const server of servers.splice(0)) await server[Symbol.asyncDispose]();
});

describe("HTTP server", () => {
  test("answers, tells the socket's address, and keeps an error's text to itself", async () => {
    const errors: unknown[] = [];
    const server = serve({
      onError: (error) => errors.push(error),
      fetch(request, { address }) {
        if (request.url.endsWith("/fail")) throw new Error("secret reason");
        return new Response(address);
      },
    });
    expect(await (await fetch(server.origin)).text()).toBe("127.0.0.1");
    const failed = await fetch(`${server.origin}/fail`);
    expect([failed.status, await failed.text()]).toEqual([500, ""]);
    expect(String(errors[0])).toContain("secret reason");
  });

  test("a body above the limit is refused", async () => {
    const server = serve({ bodyBytesMax: 1_000, fetch: async (request) => new Response(await request.text()) });
    expect((await fetch(server.origin, { method: "POST", body: "x".repeat(1_000) })).status).toBe(200);
    expect((await fetch(server.origin, { method: "POST", body: "x".repeat(1_001) })).status).toBe(413);
  });

  test("a request that may be silent leaves a connection that may not, once it is settled", async () => {
    const server = serve({
      idleTimeoutMs: 1_000,
      fetch(_, connection) {
        const settled = connection.keepOpen();
        settled();
        return new Response("x");
      },
    });
    const connection = await connectTo(server.port);
    void connection.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    await eventually("it answers", () => connection.receivedBytes > 0);
    expect(await connection.ended).toBe("fin");
  }, 15_000);

  test("a taken address is a fault", async () => {
    const server = serve({ fetch: () => new Response() });
    await expectFault(() => serve({ port: server.port, fetch: () => new Response() }), "config");
  });

  test("disposing refuses new connections and lets requests under way finish", async () => {
    let go = () => {};
    let taken = () => {};
    const reached = new Promise<void>((resolve) => {
      taken = resolve;
    });
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const server = serve({
      async fetch() {
        taken();
        await gate;
        return new Response("done");
      },
    });
    const answer = fetch(server.origin).then((response) => response.text());
    await reached;
    const disposing = server[Symbol.asyncDispose]();
    expect(await fetch(server.origin).catch(() => "refused")).toBe("refused");
    go();
    expect(await answer).toBe("done");
    await disposing;
    await server[Symbol.asyncDispose]();
  });

  test("requests that don't finish are cut after the drain time", async () => {
    let taken = () => {};
    const reached = new Promise<void>((resolve) => {
      taken = resolve;
    });
    const server = serve({
      drainMs: 50,
      fetch() {
        taken();
        return new Promise<Response>(() => undefined);
      },
    });
    const answer = fetch(server.origin).catch(() => "cut");
    await reached;
    await server[Symbol.asyncDispose]();
    expect(await answer).toBe("cut");
  });
});

describe("WebSocket upgrade", () => {
  const opened = (options: { reply?: (socket: ServerSocket) => void } = {}) => {
    const sockets: ServerSocket[] = [];
    const server = serve({
      messageBytesMax: 10_000,
      drainMs: 50,
      fetch(_request, connection) {
        const socket = connection.upgrade({ "sec-websocket-protocol": "mercury.1" });
        if (socket === undefined) return new Response("upgrade only", { status: 426 });
        sockets.push(socket);
        options.reply?.(socket);
        return new Response("dropped");
      },
    });
    const client = new WebSocket(server.origin.replace("http", "ws"), ["mercury.1"]);
    client.binaryType = "arraybuffer";
    return { server, sockets, client };
  };
  const socketOf = (sockets: ServerSocket[]) => eventually("upgraded", () => sockets[0]);

  test("carries bytes both ways; what came early waits for the receiver", async () => {
    const { sockets, client } = opened({ reply: (socket) => void socket.send(new Uint8Array([1])) });
    const got: number[] = [];
    client.onmessage = (event) => got.push(...new Uint8Array(event.data as ArrayBuffer));
    client.onopen = () => client.send(new Uint8Array([7, 8]));
    const socket = await socketOf(sockets);
    await eventually("the client has the first message", () => got.length === 1);
    expect(client.protocol).toBe("mercury.1");
    client.send("text");
    client.send(new Uint8Array([9]));
    const received: unknown[] = [];
    socket.receive({ message: (message) => received.push(message), close: (code) => received.push(code) });
    await eventually("three messages", () => received.length === 3);
    expect(received).toEqual([new Uint8Array([7, 8]), "text", new Uint8Array([9])]);
    client.close(4_001, "bye");
    await eventually("the close", () => received.length === 4);
    expect(received[3]).toBe(4_001);
    expect(socket.send(new Uint8Array([1]))).toBe(0);
  });

  test("a close from here reaches the client with its code", async () => {
    const { sockets, client } = opened();
    const closed = new Promise<number>((resolve) => {
      client.onclose = (event) => resolve(event.code);
    });
    (await socketOf(sockets)).close(4_002, "go");
    expect(await closed).toBe(4_002);
  });

  test("more than the bound before anyone receives closes the socket", async () => {
    const { client } = opened();
    const closed = new Promise<number>((resolve) => {
      client.onclose = (event) => resolve(event.code);
    });
    client.onopen = () => {
      for (let number = 0; number < 40; number++) client.send(new Uint8Array(9_000));
    };
    expect(await closed).toBe(1_008);
  });

  test("a message above the limit ends the connection", async () => {
    const { sockets, client } = opened();
    const ended: number[] = [];
    (await socketOf(sockets)).receive({ message: () => undefined, close: (code) => ended.push(code) });
    client.send(new Uint8Array(10_001));
    await eventually("ended", () => ended.length === 1);
  });

  test("a request that is no upgrade gets an answer", async () => {
    const { server } = opened();
    expect((await fetch(server.origin)).status).toBe(426);
  });
});
