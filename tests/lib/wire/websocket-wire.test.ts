import { describe, expect, test } from "bun:test";
import type { Bytes } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { acceptLink, openLink } from "#lib/link";
import { serveHttp, systemClock } from "#lib/runtime";
import { connectWebSocket, type ServerSocket, type ServerSocketReceiver, serverWire } from "#lib/wire";
import { ChannelWorld, sessionTerms } from "#support/channel-world";
import { DrivenClock } from "#support/driven-clock";
import { expectFault } from "#support/faults";
import { pattern, readAll } from "#support/mux-pair";
import { webSocketPair } from "#support/websocket-pair";
import { listen, wireContract } from "../../contract/wire.ts";

wireContract("WebSocket, from client to server", async () => {
  const pair = await webSocketPair();
  return { a: pair.client, b: pair.server, [Symbol.asyncDispose]: () => pair[Symbol.asyncDispose]() };
});
wireContract("WebSocket, from server to client", async () => {
  const pair = await webSocketPair();
  return { a: pair.server, b: pair.client, [Symbol.asyncDispose]: () => pair[Symbol.asyncDispose]() };
});

/** A server that answers every request so; its WebSocket URL. */
function serving(fetch: Parameters<typeof serveHttp>[0]["fetch"]) {
  const server = serveHttp({ host: "127.0.0.1", port: 0, drainMs: 0, fetch });
  return { url: server.origin.replace("http", "ws"), [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

describe("connecting", () => {
  test("headers and subprotocols go out, deflate is not offered, the chosen protocol comes back", async () => {
    let seen = new Headers();
    await using server = serving((request, connection) => {
      seen = request.headers;
      connection.upgrade({ "sec-websocket-protocol": "mercury.1" });
      return new Response(null);
    });
    const target = {
      url: server.url,
      protocols: ["mercury.1", "mercury.0"],
      headers: { authorization: "Mercury x.y.z" },
    };
    const { wire, protocol } = await connectWebSocket(target, { clock: systemClock });
    expect(protocol).toBe("mercury.1");
    expect(seen.get("authorization")).toBe("Mercury x.y.z");
    expect(seen.get("sec-websocket-protocol")?.replaceAll(" ", "")).toBe("mercury.1,mercury.0");
    expect(seen.get("sec-websocket-extensions")).toBeNull();
    wire.close(1_000, "");
  });

  test("a refused upgrade and a port where nobody listens are wire_lost", async () => {
    await using server = serving(() => new Response(null, { status: 401 }));
    await expectFault(connectWebSocket({ url: server.url }, { clock: systemClock }), "wire_lost");
    const closed = serving(() => new Response(null));
    await closed[Symbol.asyncDispose]();
    await expectFault(connectWebSocket({ url: closed.url }, { clock: systemClock }), "wire_lost");
  });

  test("an answer that does not come is a timeout; the wait can be given up", async () => {
    await using server = serving(() => new Promise(() => undefined));
    const clock = new DrivenClock();
    const waiting = expectFault(connectWebSocket({ url: server.url }, { clock, timeoutMs: 500 }), "timeout");
    await clock.advance(500);
    await waiting;
    const given = new AbortController();
    const opening = connectWebSocket({ url: server.url }, { clock, signal: given.signal });
    given.abort(new Fault("closed"));
    await expectFault(opening, "closed");
    expect(clock.waiting).toBe(0);
  });

  test("goes through a proxy by CONNECT, with Basic", async () => {
    await using server = serving((_request, connection) => {
      const socket = connection.upgrade();
      if (socket !== undefined) serverWire(socket).send(new Uint8Array([7]));
      return new Response(null);
    });
    const asked: string[] = [];
    using proxy = connectProxy(asked);
    const target = { url: server.url, proxy: `http://user:word@127.0.0.1:${proxy.port}` };
    const { wire } = await connectWebSocket(target, { clock: systemClock });
    expect(await listen(wire).got(1)).toEqual([new Uint8Array([7])]);
    expect(asked[0]).toStartWith(`CONNECT ${new URL(server.url).host} HTTP/1.1`);
    expect(asked[0]?.toLowerCase()).toContain(`proxy-authorization: basic ${btoa("user:word")}`.toLowerCase());
    wire.close(1_000, "");
  });
});

/** A proxy of a few lines: reads one CONNECT, then passes bytes. */
function connectProxy(asked: string[]) {
  type Side = { other: { write(bytes: Uint8Array): unknown; end(): void } | undefined };
  return Bun.listen<Side>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => {
        socket.data = { other: undefined };
      },
      async data(socket, bytes) {
        if (socket.data.other !== undefined) {
          socket.data.other.write(bytes);
          return;
        }
        const head = new TextDecoder().decode(bytes);
        asked.push(head);
        const [host = "", port = ""] = (/^CONNECT (\S+)/.exec(head)?.[1] ?? "").split(":");
        socket.data.other = await Bun.connect({
          hostname: host,
          port: Number(port),
          socket: { data: (_, answer) => void socket.write(answer), close: () => void socket.end() },
        });
        socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      },
      close: (socket) => socket.data.other?.end(),
    },
  });
}

describe("a server's socket", () => {
  /** A socket of the test: `answer` is what `send` returns. */
  function socketThat(answer: number) {
    const closes: number[] = [];
    let receiver: ServerSocketReceiver | undefined;
    const socket: ServerSocket = {
      send: () => answer,
      bufferedAmount: () => 0,
      close: (code) => void closes.push(code),
      receive: (named) => {
        receiver = named;
      },
    };
    return { socket, closes, says: (message: Bytes | string) => receiver?.message(message) };
  }

  test("that drops a message is closed, and the sender told", async () => {
    const { socket, closes } = socketThat(0);
    const wire = serverWire(socket);
    await expectFault(() => wire.send(pattern(5)), "wire_lost");
    expect(closes).toEqual([4_013]);
    await expectFault(() => wire.send(pattern(5)), "wire_lost");
  });

  test("that queues behind back-pressure goes on", () => {
    const { socket, closes } = socketThat(-1);
    serverWire(socket).send(pattern(5));
    expect(closes).toEqual([]);
  });

  test("that brings a text is closed", async () => {
    const { socket, closes, says } = socketThat(1);
    const { ended } = listen(serverWire(socket));
    says("hello");
    expect(closes).toEqual([4_003]);
    expect((await ended).code).toBe("closed");
  });
});

test("a text from a server closes the client's wire", async () => {
  await using text = (() => {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request, bun) => (bun.upgrade(request) ? undefined : new Response(null)),
      websocket: { open: (socket) => void socket.sendText("hello"), message: () => undefined },
    });
    return { url: `ws://127.0.0.1:${server.port}`, [Symbol.asyncDispose]: () => server.stop(true) };
  })();
  const { wire } = await connectWebSocket({ url: text.url }, { clock: systemClock });
  expect((await listen(wire).ended).code).toBe("closed");
});

test("a link runs over a real WebSocket", async () => {
  await using pair = await webSocketPair();
  const world = await ChannelWorld.create(systemClock);
  const [edge, nexus] = [await world.node("edge"), await world.node("nexus")];
  const terms = sessionTerms(edge);
  const [a, b] = await Promise.all([
    openLink(pair.client, world.options(edge, terms)),
    acceptLink(pair.server, world.options(nexus, terms)),
  ]);
  b.onStream((stream) => {
    const work = async () => {
      for (let piece = await stream.read(); piece !== null; piece = await stream.read()) await stream.write(piece);
      stream.end();
    };
    work().catch(() => undefined); // reset: the other side knows
  });
  const stream = a.open();
  void stream.write(pattern(5_000_000)).then(() => stream.end());
  expect((await readAll(stream)).length).toBe(5_000_000);
  await a.close("displaced");
  expect((await b.closed).code).toBe("displaced");
});
