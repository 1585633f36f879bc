import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { Stack } from "../support/stack.ts";
import { connectTo } from "../support/tcp-peers.ts";

setDefaultTimeout(60_000);

const mebibyte = 1024 * 1024;
const licenceKey = "LK-7f3a-e2e-secret";

interface PortalView {
  readonly id: string;
  readonly version: number;
  readonly http?: { readonly headers: Readonly<Record<string, string>> };
  readonly nodes: readonly { readonly inSync: boolean; readonly actual: { readonly code: string | null } | null }[];
}

/** What the service was asked, as it saw it. */
interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

let stack: Stack;
let site: Awaited<ReturnType<Stack["addAgent"]>>;
let backend: Awaited<ReturnType<Stack["addAgent"]>>;
let service: { readonly port: number; stop(now: boolean): Promise<void> };
let port: number;
const gone = { bytes: 0, cancelled: 0 };
/** Paths of requests that came whole. */
const served: string[] = [];

const flooded = { left: 0, sent: 0 };

/** As many messages as the socket takes. */
function flood(socket: Bun.ServerWebSocket<unknown>): void {
  while (flooded.left > 0) {
    const sent = socket.send(new Uint8Array(65_536));
    flooded.left--;
    flooded.sent++;
    if (sent < 0) return; // queued: the rest when it has left
  }
}

/** A real HTTP server with everything that goes through a portal. */
function startService(): typeof service {
  const server = Bun.serve<{ path: string }>({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 60,
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    async fetch(request, server) {
      const { pathname, search } = new URL(request.url);
      if (pathname === "/ws") {
        const protocol = request.headers.get("sec-websocket-protocol");
        const headers: Record<string, string> = protocol === null ? {} : { "sec-websocket-protocol": "chat.2" };
        if (server.upgrade(request, { data: { path: search }, headers })) return undefined;
      }
      if (pathname === "/events") {
        let count = 0;
        const stream = new ReadableStream<string>({
          async pull(controller) {
            if (count > 0) await new Promise<void>((resolve) => (release = resolve));
            controller.enqueue(`data: ${count++}\n\n`);
          },
          cancel: () => void gone.cancelled++,
        });
        return new Response(stream, { headers: { "content-type": "text/event-stream" } });
      }
      if (pathname === "/flood") {
        let left = Number(search.slice(1)) * mebibyte;
        const chunk = new Uint8Array(65_536).fill(7);
        const stream = new ReadableStream<Uint8Array>(
          {
            pull(controller) {
              if (left <= 0) return controller.close();
              left -= chunk.length;
              gone.bytes += chunk.length;
              controller.enqueue(chunk.slice());
            },
          },
          { highWaterMark: 0 },
        );
        return new Response(stream);
      }
      if (pathname === "/swallow") {
        let bytes = 0;
        for await (const piece of request.body ?? []) {
          bytes += piece.length;
          if (search === "?slow" && stalled !== undefined) await stalled;
        }
        return Response.json({ bytes });
      }
      if (pathname === "/redirect") return Response.redirect(`http://127.0.0.1:${service.port}/after?x=1`, 302);
      if (pathname === "/status") return new Response("as it is", { status: Number(search.slice(1)) });
      if (pathname === "/gzip")
        return new Response(Bun.gzipSync("small"), { headers: { "content-encoding": "gzip", etag: '"g"' } });
      if (pathname === "/cookies")
        return new Response("c", {
          headers: [
            ["set-cookie", "a=1; Path=/"],
            ["set-cookie", "b=2; Path=/"],
          ],
        });
      const seen: Seen = {
        method: request.method,
        path: `${pathname}${search}`,
        headers: Object.fromEntries(request.headers),
        body: await request.text(),
      };
      served.push(pathname);
      return Response.json(seen, { headers: { connection: "close", "x-service": "yes" } });
    },
    websocket: {
      message(socket, message) {
        if (message === "close me") socket.close(4_321, "as asked");
        else if (message === "die") socket.terminate();
        else if (message === "flood") flood(socket);
        else socket.send(message);
      },
      drain: (socket) => flood(socket),
    },
  });
  return { port: server.port ?? 0, stop: (now) => server.stop(now) };
}
let release: () => void = () => undefined;
let stalled: Promise<void> | undefined;

beforeAll(async () => {
  stack = await Stack.start({ cuttable: true });
  service = startService();
  const { customerId } = await stack.api.createCustomer("Shop", { rateLimitRpm: 1_000_000 });
  site = await stack.addAgent({ name: "site", customerId });
  backend = await stack.addAgent({ name: "backend", customerId, allow: ["127.0.0.1:*"] });
  port = await portal("main", {
    hosts: [],
    headers: { "X-Licence-Key": licenceKey },
  });
});

afterAll(async () => {
  release();
  await service?.stop(true);
  await stack?.[Symbol.asyncDispose]();
});

async function portal(name: string, http: object, change: object = {}, targetPort = service.port): Promise<number> {
  const listen = freePort();
  const made = await stack.api.call<PortalView>("POST", "/portals", {
    customerId: site.customerId,
    name,
    protocol: "http",
    inlet: { agentId: site.agentId, listen: { port: listen } },
    outlet: { agentIds: [backend.agentId], target: { host: "127.0.0.1", port: targetPort } },
    http,
    ...change,
  });
  await running(made.id);
  return listen;
}

async function running(id: string): Promise<void> {
  await eventually("both nodes run the portal", async () => {
    const { nodes } = await stack.api.call<PortalView>("GET", `/portals/${id}`);
    return nodes.length >= 2 && nodes.every(({ inSync }) => inSync);
  });
}

const at = (path: string, on = port) => `http://127.0.0.1:${on}${path}`;
const seenBy = async (path: string, init: RequestInit = {}) => (await (await fetch(at(path), init)).json()) as Seen;

/** What comes back to bytes that no client library would send. */
async function raw(text: string): Promise<string> {
  const connection = await connectTo(port);
  void connection.write(text);
  connection.end();
  await connection.closed;
  return connection.text;
}

const memoryOf = (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1_024;
const nodesPids = () => [site, backend].map((one) => one.site.program.pid ?? 0);

describe("an HTTP portal between two nodes", () => {
  test("a request arrives as the client made it, with who asks and the licence key", async () => {
    const seen = await seenBy("/a/b%20c?x=%2F&y", {
      method: "POST",
      headers: {
        "x-licence-key": "the client's own",
        x_licence_key: "another spelling",
        "x-forwarded-for": "10.9.9.9",
        "X-Forwarded-Proto": "https",
        forwarded: "for=10.9.9.9",
        "x-custom": "kept",
        authorization: "Bearer client",
        te: "trailers",
      },
      body: "the body",
    });
    expect(seen).toMatchObject({ method: "POST", path: "/a/b%20c?x=%2F&y", body: "the body" });
    expect(seen.headers).toMatchObject({
      host: `127.0.0.1:${service.port}`,
      "x-licence-key": licenceKey,
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-proto": "http",
      "x-forwarded-host": `127.0.0.1:${port}`,
      "x-custom": "kept",
      authorization: "Bearer client",
      "content-length": "8",
    });
    for (const name of ["forwarded", "te", "x_licence_key"]) expect(seen.headers[name]).toBeUndefined();
  });

  test("methods, statuses, redirects, compressed bodies, cookies and HEAD go through", async () => {
    for (const method of ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
      expect((await seenBy("/m", { method })).method).toBe(method);
    for (const status of [201, 204, 304, 404, 418, 500, 503]) {
      const answer = await fetch(at(`/status?${status}`), { redirect: "manual" });
      expect(answer.status).toBe(status);
      expect(await answer.text()).toBe(status === 204 || status === 304 ? "" : "as it is");
    }
    const redirect = await fetch(at("/redirect"), { redirect: "manual" });
    expect([redirect.status, redirect.headers.get("location")]).toEqual([302, "/after?x=1"]);
    const zipped = await fetch(at("/gzip"), { decompress: false } as RequestInit);
    expect(zipped.headers.get("content-encoding")).toBe("gzip");
    expect(Buffer.from(Bun.gunzipSync(await zipped.bytes())).toString()).toBe("small");
    expect((await fetch(at("/cookies"))).headers.getSetCookie()).toEqual(["a=1; Path=/", "b=2; Path=/"]);
    const head = await fetch(at("/gzip"), { method: "HEAD" });
    expect([head.status, head.headers.get("etag"), await head.text()]).toEqual([200, '"g"', ""]);
    expect((await fetch(at("/m"))).headers.get("x-service")).toBe("yes");
  });

  test("events come one by one, as the service sends them, and its stream ends with the client", async () => {
    const ending = new AbortController();
    const answer = await fetch(at("/events"), { signal: ending.signal });
    expect(answer.headers.get("content-type")).toBe("text/event-stream");
    const reader = answer.body?.getReader();
    const next = async () => Buffer.from((await reader?.read())?.value ?? []).toString();
    expect(await next()).toBe("data: 0\n\n");
    for (const count of [1, 2]) {
      release();
      expect(await next()).toBe(`data: ${count}\n\n`);
    }
    ending.abort();
    await eventually("the service is told", () => {
      release();
      return gone.cancelled === 1;
    });
  });

  test("a WebSocket passes texts, bytes, its subprotocol and both ends' closes", async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, ["chat.1", "chat.2"]);
    socket.binaryType = "arraybuffer";
    const got: unknown[] = [];
    socket.onmessage = ({ data }) =>
      got.push(typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer).length);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    expect(socket.protocol).toBe("chat.2");
    socket.send("grüße");
    socket.send(new Uint8Array(300_000));
    await eventually("both come back", () => got.length === 2);
    expect(got).toEqual(["grüße", 300_000]);
    const closed = new Promise<CloseEvent>((resolve) => {
      socket.onclose = resolve;
    });
    socket.send("close me");
    expect(await closed).toMatchObject({ code: 4_321, reason: "as asked" });
    const lost = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    await new Promise((resolve) => {
      lost.onopen = resolve;
    });
    const ended = new Promise<CloseEvent>((resolve) => {
      lost.onclose = resolve;
    });
    lost.send("die");
    expect((await ended).code).not.toBe(1_000);
  });

  test("a WebSocket that is not read stops the service's, loses nothing, and ends with the client", async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`) as WebSocket & { pause(): void; resume(): void };
    let bytes = 0;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      bytes += (data as ArrayBuffer).byteLength;
    };
    await new Promise((resolve) => {
      socket.onopen = resolve;
    });
    socket.pause();
    flooded.left = 2_048;
    socket.send("flood");
    let before = -1;
    await eventually(
      "the service stands still",
      () => {
        const still = flooded.sent === before && before > 0;
        before = flooded.sent;
        return still;
      },
      { everyMs: 500 },
    );
    expect(flooded.sent).toBeLessThan(1_024);
    socket.resume();
    await eventually("all of it comes", () => bytes === 2_048 * 65_536);
    socket.close();
    await eventually("nothing of it is left", async () => {
      const { portals } = await backend.site.status();
      return portals.find(({ name }) => name === "main")?.open === 0;
    });
  });

  test("an inlet may be a Unix socket in a directory of the site's list", async () => {
    const unix = join(site.site.exchange, "web.sock");
    await portal("unix", {}, { inlet: { agentId: site.agentId, listen: { unix } } });
    const seen = (await (await fetch("http://localhost/over/unix", { unix })).json()) as Seen;
    expect([seen.path, seen.headers["x-forwarded-for"]]).toEqual(["/over/unix", undefined]);
  });

  test("256 MiB stream through in both directions in bounded memory", async () => {
    const total = 256 * mebibyte;
    const before = nodesPids().map(memoryOf);
    let highest = before.map(() => 0);
    const look = () => {
      highest = nodesPids().map((pid, index) => Math.max(memoryOf(pid), highest[index] ?? 0));
    };
    const chunk = new Uint8Array(1 * mebibyte).fill(3);
    let left = total;
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          look();
          if (left <= 0) return controller.close();
          left -= chunk.length;
          controller.enqueue(chunk.slice());
        },
      },
      { highWaterMark: 0 },
    );
    const up = await fetch(at("/swallow"), { method: "PUT", body });
    expect(await up.json()).toEqual({ bytes: total });
    let bytes = 0;
    for await (const piece of (await fetch(at("/flood?256"))).body ?? []) {
      bytes += piece.length;
      if (bytes % mebibyte < 65_536) look();
    }
    expect(bytes).toBe(total);
    for (const [index, most] of highest.entries()) expect(most - (before[index] ?? 0)).toBeLessThan(120 * mebibyte);
  });

  test("a client that reads slowly stops the service, and nothing else", async () => {
    const from = gone.bytes;
    const slow = await connectTo(port);
    void slow.write(`GET /flood?512 HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`);
    await eventually("it has begun", () => slow.receivedBytes > 0);
    slow.socket?.pause();
    let before = -1;
    await eventually(
      "the service stands still",
      () => {
        const still = gone.bytes === before;
        before = gone.bytes;
        return still;
      },
      { everyMs: 500 },
    );
    expect(gone.bytes - from).toBeLessThan(64 * mebibyte);
    expect((await seenBy("/beside")).path).toBe("/beside");
    slow.reset();
  });

  test("a service that reads slowly stops the client", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    stalled = promise;
    let sent = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          if (sent >= 128 * mebibyte) return controller.close();
          sent += 65_536;
          controller.enqueue(new Uint8Array(65_536));
        },
      },
      { highWaterMark: 0 },
    );
    const answer = fetch(at("/swallow?slow"), { method: "POST", body });
    let before = -1;
    await eventually(
      "the client stands still",
      () => {
        const still = sent === before && sent > 0;
        before = sent;
        return still;
      },
      { everyMs: 500 },
    );
    expect(sent).toBeLessThan(64 * mebibyte);
    stalled = undefined;
    resolve();
    expect(await (await answer).json()).toEqual({ bytes: 128 * mebibyte });
  });

  test("a service that is not there, is not on the list, never answers, or dies in the middle: a code, promptly", async () => {
    const problem = async (on: number) => {
      const answer = await fetch(at("/x", on));
      expect(answer.headers.get("content-type")).toBe("application/problem+json");
      const { status, code } = (await answer.json()) as { status: number; code: string };
      expect(status).toBe(answer.status);
      return [answer.status, code];
    };
    expect(await problem(await portal("dead", {}, {}, freePort()))).toEqual([502, "system_unavailable"]);
    const other = { outlet: { agentIds: [backend.agentId], target: { host: "localhost.invalid", port: 80 } } };
    expect(await problem(await portal("unknown", {}, other))).toEqual([502, "system_unavailable"]);
    const sockets: { terminate(): void }[] = [];
    const odd = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (socket) => void sockets.push(socket),
        data(socket, bytes) {
          const text = Buffer.from(bytes).toString();
          if (!text.startsWith("GET /half")) return;
          socket.write("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nhalf");
        },
      },
    });
    const silent = await portal("silent", { answerTimeoutMs: 1_000 }, {}, odd.port);
    expect(await problem(silent)).toEqual([504, "timeout"]);
    const half = await fetch(at("/half", silent));
    expect(half.status).toBe(200);
    const reader = half.body?.getReader();
    expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe("half");
    for (const socket of sockets) socket.terminate();
    const cut = await reader?.read().then(
      ({ done }) => (done ? "ended" : "more"),
      () => "cut",
    );
    expect(cut).toBe("cut");
    odd.stop(true);
    const { portals } = await site.site.status();
    expect(portals.find(({ name }) => name === "dead")).toMatchObject({
      refused: 1,
      last: { code: "system_unavailable" },
    });
  });

  test("requests that two readers could take for different ones are refused, and reach no service", async () => {
    const host = `host: 127.0.0.1:${port}\r\n`;
    const cases = {
      "both lengths": `POST /no HTTP/1.1\r\n${host}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n${host}\r\n`,
      "two lengths": `POST /no HTTP/1.1\r\n${host}content-length: 4\r\ncontent-length: 5\r\n\r\nabcde`,
      "a coding that hides": `POST /no HTTP/1.1\r\n${host}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n`,
      "a bad chunk": `POST /no HTTP/1.1\r\n${host}transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n`,
      "a chunk without its end": `POST /no HTTP/1.1\r\n${host}transfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n`,
      "a folded line": `GET /no HTTP/1.1\r\n${host}x-a: b\r\n c: d\r\n\r\n`,
      "a blank before the colon": `GET /no HTTP/1.1\r\n${host}content-length : 3\r\n\r\nabc`,
      "two hosts": `GET /no HTTP/1.1\r\n${host}host: other\r\n\r\n`,
      "another host": "GET /no HTTP/1.1\r\nhost: evil.example\r\n\r\n",
      "no host": "GET /no HTTP/1.1\r\n\r\n",
      "a body with GET": `GET /no HTTP/1.1\r\n${host}content-length: 3\r\n\r\nabc`,
      CONNECT: `CONNECT 127.0.0.1:${port} HTTP/1.1\r\n${host}\r\n`,
      "too many headers": `GET /no HTTP/1.1\r\n${host}${"x: y\r\n".repeat(400)}\r\n`,
      "too long a line": `GET /${"a".repeat(40_000)} HTTP/1.1\r\n${host}\r\n`,
    };
    served.length = 0;
    for (const [name, bytes] of Object.entries(cases)) {
      const answer = await raw(bytes);
      expect(
        [...answer.matchAll(/HTTP\/1\.1 (\d)/g)].map(([, first]) => first),
        name,
      ).toEqual(["4"]);
    }
    expect((await seenBy("/yes")).path).toBe("/yes");
    expect(served).toEqual(["/yes"]);
  });

  test("the licence key is shown to nobody, kept by its mask, and not sent to another service", async () => {
    const { items } = await stack.api.call<{ items: (PortalView & { name: string })[] }>("GET", "/portals?limit=200");
    const main = items.find(({ name }) => name === "main");
    expect(main?.http?.headers).toEqual({ "x-licence-key": "‹secret›" });
    const wanted = (outletPort: number) => ({
      name: "main",
      protocol: "http",
      inlet: { agentId: site.agentId, listen: { port } },
      outlet: { agentIds: [backend.agentId], target: { host: "127.0.0.1", port: outletPort } },
      http: { headers: { "x-licence-key": "‹secret›" }, hosts: ["localhost", `shop.internal:${port}`, "127.0.0.1"] },
    });
    await expect(stack.api.call("PUT", `/portals/${main?.id}`, wanted(freePort()))).rejects.toThrow();
    await stack.api.call("PUT", `/portals/${main?.id}`, wanted(service.port));
    await running(main?.id ?? "");
    expect((await seenBy("/kept")).headers["x-licence-key"]).toBe(licenceKey);
    for (const host of ["localhost", `localhost:${port}`, `shop.internal:${port}`])
      expect((await fetch(at("/h"), { headers: { host } })).status).toBe(200);
    expect((await fetch(at("/h"), { headers: { host: "shop.internal" } })).status).toBe(421);
    for (const file of stack.logFiles) expect(readFileSync(file, "utf8")).not.toContain(licenceKey);
  });

  test("requests outlive a tunnel that is cut in the middle of them, whole", async () => {
    const total = 48 * mebibyte;
    const down = await fetch(at("/flood?48"));
    const reader = down.body?.getReader();
    let bytes = 0;
    const { promise: cutAlready, resolve: cut } = Promise.withResolvers<void>();
    let sent = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          if (sent === total / 2) await cutAlready;
          if (sent === total) return controller.close();
          sent += 65_536;
          controller.enqueue(new Uint8Array(65_536));
        },
      },
      { highWaterMark: 0 },
    );
    const up = fetch(at("/swallow"), { method: "POST", body });
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
      if (done) break;
      expect(value?.every((byte) => byte === 7)).toBe(true);
      const before = bytes;
      bytes += value?.length ?? 0;
      if (before < total / 2 && bytes >= total / 2) {
        stack.network.cut();
        cut();
      }
    }
    expect(bytes).toBe(total);
    expect(await (await up).json()).toEqual({ bytes: total });
  });

  test("a node at the other end that dies is passed over, and no request is made twice", async () => {
    const { customerId } = site;
    const spare = await stack.addAgent({ name: "spare", customerId, allow: [`127.0.0.1:${service.port}`] });
    const two = await portal(
      "two",
      {},
      {
        outlet: { agentIds: [spare.agentId, backend.agentId], target: { host: "127.0.0.1", port: service.port } },
      },
    );
    const post = async (path: string) =>
      (await (await fetch(at(path, two), { method: "POST", body: "once" })).json()) as Seen;
    served.length = 0;
    for (let count = 0; count < 4; count++) expect((await post("/both")).body).toBe("once");
    await spare.site.program.kill();
    for (let count = 0; count < 4; count++) expect((await post("/one")).body).toBe("once");
    expect(served.toSorted()).toEqual([..."abcd"].map(() => "/both").concat([..."abcd"].map(() => "/one")));
  });

  test("a node that asks more often than its licence allows is told when to come again", async () => {
    const { customerId } = await stack.api.createCustomer("Small shop", { rateLimitRpm: 4 });
    const small = await stack.addAgent({ name: "small", customerId });
    const served = await stack.addAgent({ name: "served", customerId, allow: [`127.0.0.1:${service.port}`] });
    const inlet = { agentId: small.agentId, listen: { port: freePort() } };
    const outlet = { agentIds: [served.agentId], target: { host: "127.0.0.1", port: service.port } };
    const wanted = { name: "few", protocol: "http", inlet, outlet };
    const { id } = await stack.api.call<PortalView>("POST", "/portals", { customerId, ...wanted });
    await running(id);
    for (let count = 0; count < 4; count++) expect((await fetch(at("/few", inlet.listen.port))).status).toBe(200);
    const refused = await fetch(at("/few", inlet.listen.port));
    expect(refused.status).toBe(429);
    const waitS = Number(refused.headers.get("retry-after"));
    expect(waitS).toBeGreaterThan(0);
    expect(waitS).toBeLessThanOrEqual(15);
    expect(await refused.json()).toMatchObject({ code: "limited", status: 429 });
  });
});
