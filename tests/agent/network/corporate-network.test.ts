import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { subprotocol } from "#lib/link";
import { builtInAuthorities, systemClock } from "#lib/runtime";
import { connectWebSocket, type Wire } from "#lib/wire";
import { expectFault } from "#support/faults";
import { needs } from "#support/needs";
import { makeNetwork, type Network } from "../../../agent/network/network.ts";

setDefaultTimeout(30_000);

/** A name that no name server knows: the proxy alone can reach it. */
const gateway = "gateway.test";

/** An HTTP proxy that takes CONNECT with Basic authentication, and leads every name to one port of this machine. */
function proxyTo(port: number, user: string) {
  const asked: string[] = [];
  const expected = `proxy-authorization: basic ${btoa(user)}`.toLowerCase();
  interface Passage {
    head: string;
    peer: Bun.Socket<{ client: Bun.Socket<Passage> }> | undefined;
  }
  const server = Bun.listen<Passage>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(client) {
        client.data = { head: "", peer: undefined };
      },
      async data(client, bytes) {
        const { data } = client;
        if (data.peer !== undefined) {
          data.peer.write(bytes);
          return;
        }
        data.head += bytes.toString("latin1");
        if (!data.head.includes("\r\n\r\n")) return;
        const [first = ""] = data.head.split("\r\n");
        if (!data.head.toLowerCase().includes(expected)) {
          asked.push(`refused ${first}`);
          client.end("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
          return;
        }
        asked.push(first);
        data.peer = await Bun.connect<{ client: Bun.Socket<Passage> }>({
          hostname: "127.0.0.1",
          port,
          data: { client },
          socket: {
            data: (peer, answer) => void peer.data.client.write(answer),
            close: (peer) => void peer.data.client.end(),
            error: () => undefined,
          },
        });
        client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      },
      close: (client) => void client.data.peer?.end(),
      error: () => undefined,
    },
  });
  return { port: server.port, asked, stop: () => server.stop(true) };
}

needs("openssl", "apt-get install openssl")(
  "a site behind a proxy that wants a password, with its own authority",
  () => {
    let folder: string;
    let ca: string;
    let server: Bun.Server<undefined>;
    let proxy: ReturnType<typeof proxyTo>;

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "mercury-network-"));
      const words = `req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=${gateway} -addext subjectAltName=DNS:${gateway}`;
      await Bun.spawn(["openssl", ...words.split(" ")], { cwd: folder, stderr: "ignore" }).exited;
      ca = await readFile(join(folder, "cert.pem"), "utf8");
      server = Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        tls: { cert: ca, key: await readFile(join(folder, "key.pem"), "utf8") },
        fetch: (request, self) =>
          self.upgrade(request, { headers: { "sec-websocket-protocol": subprotocol } })
            ? undefined
            : new Response("here"),
        websocket: {
          message: (socket, message) => {
            socket.send(message);
          },
        },
      });
      proxy = proxyTo(server.port ?? 0, "agent:pass word");
    });

    afterAll(async () => {
      proxy.stop();
      await server.stop(true);
      await rm(folder, { recursive: true });
    });

    const network = (user: string, authorities: readonly string[]): Network => {
      const https = `http://${user}@127.0.0.1:${proxy.port}`;
      return makeNetwork({ proxies: { https, http: undefined, none: undefined }, authorities });
    };

    const open = (through: Network): Promise<{ wire: Wire }> => {
      const url = `wss://${gateway}/tunnel`;
      const { proxy: by, tls } = through.wayTo(new URL(url));
      return connectWebSocket(
        {
          url,
          protocols: [subprotocol],
          ...(by === undefined ? {} : { proxy: by }),
          ...(tls === undefined ? {} : { ca: tls.ca }),
        },
        { clock: systemClock },
      );
    };

    test("requests and the tunnel's WebSocket get through, by CONNECT", async () => {
      const before = proxy.asked.length;
      const through = network("agent:pass%20word", [ca, ...builtInAuthorities()]);
      expect(await (await through.fetch(`https://${gateway}/enroll`)).text()).toBe("here");
      const { wire } = await open(through);
      const echoed = new Promise<Uint8Array>((resolve) => {
        wire.receive({ message: resolve, closed: () => undefined });
      });
      wire.send(new Uint8Array([1, 2, 3]));
      expect(await echoed).toEqual(new Uint8Array([1, 2, 3]));
      wire.close(1000, "");
      const line = `CONNECT ${gateway}:443 HTTP/1.1`;
      expect(proxy.asked.slice(before)).toEqual([line, line]);
    });

    test("a wrong password, and an authority that is not trusted, let nothing through", async () => {
      await expectFault(open(network("agent:wrong", [ca])), "wire_lost");
      await expectFault(open(network("agent:pass%20word", [])), "wire_lost");
      await expect(network("agent:pass%20word", []).fetch(`https://${gateway}/enroll`)).rejects.toThrow();
      expect(proxy.asked.some((line) => line.startsWith("refused"))).toBe(true);
    });
  },
);
