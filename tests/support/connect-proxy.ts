import { createServer, request as forward, type IncomingMessage, type ServerResponse } from "node:http";
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
 * Takes CONNECT (RFC 9110 §9.3.6) and requests in absolute form (RFC 9112 §3.2.2) of `user:password` (Basic, RFC 7617) and leads
 * to the port of 127.0.0.1 that `targets` has for the host. Everything else is answered 407, or 502 for a host that it does not have.
 */
export async function connectProxy(account: string, targets: Readonly<Record<string, number>>): Promise<ConnectProxy> {
  const expected = `Basic ${Buffer.from(account).toString("base64")}`;
  const passed: string[] = [];
  let refused = 0;
  const server = createServer((request, response) => {
    if (request.headers["proxy-authorization"] === expected) {
      passOn(request, response, targets, passed);
      return;
    }
    refused += 1;
    response.writeHead(407, { "proxy-authenticate": 'Basic realm="site"' }).end();
  });
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

function passOn(
  request: IncomingMessage,
  response: ServerResponse,
  targets: Readonly<Record<string, number>>,
  passed: string[],
): void {
  const url = URL.canParse(request.url ?? "") ? new URL(request.url ?? "") : undefined;
  const port = url === undefined ? undefined : targets[url.hostname];
  if (url === undefined || port === undefined) {
    response.writeHead(502).end();
    return;
  }
  passed.push(url.host);
  const { "proxy-authorization": _, ...headers } = request.headers;
  const options = { host: "127.0.0.1", port, method: request.method, path: url.pathname + url.search };
  const onward = forward({ ...options, headers: { ...headers, host: url.host } }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.on("error", () => response.destroy());
  request.pipe(onward);
}
