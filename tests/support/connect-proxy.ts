import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";

/** A proxy of a company's network, as far as a test needs one. */
export interface ConnectProxy extends AsyncDisposable {
  readonly port: number;
  /** Targets (`host:port`) of the tunnels that it let through, in order. */
  readonly passed: readonly string[];
  /** Answers so far to those who did not say who they are. */
  readonly refused: number;
}

/**
 * Takes CONNECT (RFC 9110 §9.3.6) of `user:password` (Basic, RFC 7617) and connects to the port of 127.0.0.1 that `targets` has
 * for the host. Everything else is answered 407, or 502 for a host that it does not have.
 */
export async function connectProxy(account: string, targets: Readonly<Record<string, number>>): Promise<ConnectProxy> {
  const expected = `Basic ${Buffer.from(account).toString("base64")}`;
  const passed: string[] = [];
  let refused = 0;
  const server = createServer((_, response) => response.writeHead(405).end());
  server.on("connect", (request, client, head) => {
    client.on("error", () => undefined);
    if (request.headers["proxy-authorization"] !== expected) {
      refused += 1;
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="site"\r\n\r\n');
      return;
    }
    const [host = ""] = (request.url ?? "").split(":");
    const port = targets[host];
    if (port === undefined) {
      client.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
      return;
    }
    passed.push(request.url ?? "");
    const target = connect(port, "127.0.0.1", () => {
      client.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      if (head.length > 0) target.write(head);
      target.pipe(client);
      client.pipe(target);
    });
    target.on("error", () => client.destroy());
    client.on("close", () => target.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo; // it listens on an address
  return {
    port,
    passed,
    get refused() {
      return refused;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
