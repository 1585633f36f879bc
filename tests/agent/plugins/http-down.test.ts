import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { utf8 } from "#lib/bytes";
import { expectFault } from "#support/faults";
import { freePort } from "#support/free-port";
import type { Plugin } from "../../../agent/plugins/plugin.ts";
import { Ledger } from "../../support/erp/ledger.ts";
import { type Behaviour, erpApp } from "../../support/erp/server.ts";
import { PluginWorld, type WorldOptions } from "./plugin-world.ts";

setDefaultTimeout(30_000);

const opened: (AsyncDisposable | Disposable)[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse())
    if (Symbol.asyncDispose in one) await one[Symbol.asyncDispose]();
    else one[Symbol.dispose]();
});

async function world(options: WorldOptions = {}): Promise<PluginWorld> {
  const made = await PluginWorld.open(options);
  opened.push(made);
  return made;
}

type Answer = (request: Request) => Response | Promise<Response>;

/** A system that answers as told, and what it was asked. */
function system(answer: Answer) {
  const requests: { method: string; url: string; headers: Headers; body: string }[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const { method, url, headers } = request;
      requests.push({ method, url, headers, body: await request.text() });
      return await answer(request);
    },
  });
  opened.push({ [Symbol.asyncDispose]: () => server.stop(true) });
  return {
    url: `http://127.0.0.1:${server.port}`,
    requests,
    posts: () => requests.filter(({ method }) => method === "POST"),
  };
}

/** A bare TCP server: `act` gets what came. */
function tcp(act: (socket: Bun.Socket<undefined>, text: string) => void) {
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket, bytes) => act(socket, bytes.toString()) },
  });
  opened.push({ [Symbol.asyncDispose]: async () => listener.stop(true) });
  return `http://127.0.0.1:${listener.port}`;
}

const message = { id: "order-1", contentType: "application/json", body: utf8('{"number":"1"}') };
const never = new AbortController().signal;

async function plugin(
  baseUrl: string,
  more: Record<string, unknown> = {},
  down: Record<string, unknown> = {},
): Promise<Plugin> {
  return (await world()).make("http", { baseUrl, timeoutMs: 500, ...more, down: { path: "/orders", ...down } });
}

const deliver = (to: Plugin, signal = never) => {
  if (to.deliver === undefined) throw new TypeError("takes no messages");
  return to.deliver(message, signal);
};

describe("a message to an HTTP system", () => {
  test("comes with its id, its type, its body and the configured authentication", async () => {
    const there = system(() => new Response(null, { status: 204 }));
    const password = "s:cr€t";
    const to = await plugin(
      `${there.url}/api/`,
      { auth: { kind: "basic", username: "üser", password } },
      { method: "PUT", headers: { "X-Client": "7" } },
    );
    await deliver(to);
    const [request] = there.requests;
    expect(request?.method).toBe("PUT");
    expect(new URL(request?.url ?? "").pathname).toBe("/api/orders");
    expect(request?.headers.get("idempotency-key")).toBe("order-1");
    expect(request?.headers.get("content-type")).toBe("application/json");
    expect(request?.headers.get("x-client")).toBe("7");
    expect(Buffer.from(request?.headers.get("authorization")?.slice(6) ?? "", "base64").toString()).toBe(
      `üser:${password}`,
    );
    expect(request?.body).toBe('{"number":"1"}');
  });

  test("is booked once by the ERP, again with its key, and waits while the ERP is down", async () => {
    const directory = await PluginWorld.folder();
    const ledger = new Ledger(`${directory}/erp.db`);
    const behaviour: Behaviour = { honourKeys: true, state: "up", failNumber: null, delayMs: 0 };
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: erpApp(ledger, { username: "u", password: "pw" }, behaviour).fetch,
    });
    const here = await world();
    here.keepFolder(directory);
    opened.push(ledger, { [Symbol.asyncDispose]: () => server.stop(true) });
    const to = here.make("http", {
      baseUrl: server.url.href,
      auth: { kind: "basic", username: "u", password: "pw" },
      timeoutMs: 300,
      checkPath: "/health",
      down: { path: "/orders", keepsIdempotencyKeys: true },
    });
    const order = (number: string) => {
      if (to.deliver === undefined) throw new TypeError("takes no messages");
      const body = utf8(JSON.stringify({ number, sku: "s", quantity: 1 }));
      return to.deliver({ id: `id-${number}`, contentType: "application/json", body }, never);
    };
    expect(to.repeatable).toBe(true);
    await order("1");
    await order("1");
    for (const state of ["down", "hang", "locked-out"] as const) {
      behaviour.state = state;
      await expectFault(order("2"), "system_unavailable");
      await expectFault(to.check(AbortSignal.timeout(2_000)), "system_unavailable");
    }
    behaviour.state = "up";
    behaviour.failNumber = "3";
    await order("2");
    expect((await expectFault(order("3"), "refused")).message).toContain("posting period closed");
    await to.check(never);
    expect(ledger.numbers()).toEqual(["1", "2"]);
  });

  const statuses: [number, "refused" | "system_unavailable"][] = [
    [400, "refused"],
    [404, "refused"],
    [409, "refused"],
    [422, "refused"],
    [301, "system_unavailable"],
    [401, "system_unavailable"],
    [403, "system_unavailable"],
    [407, "system_unavailable"],
    [408, "system_unavailable"],
    [429, "system_unavailable"],
    [501, "system_unavailable"],
    [502, "system_unavailable"],
    [503, "system_unavailable"],
    [504, "system_unavailable"],
  ];
  test.each(statuses)("answered with %d is %s", async (status, code) => {
    const there = system(() => new Response("in its own words", { status }));
    const fault = await expectFault(deliver(await plugin(there.url)), code);
    expect(fault.message).toContain(String(status));
    expect(fault.message).toContain("in its own words");
  });

  test("answered with 500 is refused when the system is well otherwise, else the system is not available", async () => {
    let healthy = true;
    const there = system(({ url }) => {
      if (new URL(url).pathname === "/health") return new Response(null, { status: healthy ? 200 : 404 });
      return new Response("stack trace", { status: 500 });
    });
    const to = await plugin(there.url, { checkPath: "/health" });
    await expectFault(deliver(to), "refused");
    healthy = false;
    await expectFault(deliver(to), "system_unavailable");
  });

  test("waits as long as the system asks for, in seconds or until a date", async () => {
    let header = "7";
    const there = system(() => new Response(null, { status: 503, headers: { "retry-after": header } }));
    const to = await plugin(there.url);
    expect((await expectFault(deliver(to), "system_unavailable")).detail.retryAfterMs).toBe(7_000);
    header = new Date(Date.now() + 60_000).toUTCString();
    const waitMs = (await expectFault(deliver(to), "system_unavailable")).detail.retryAfterMs;
    expect(waitMs).toBeWithin(50_000, 60_001);
    header = "soon";
    expect((await expectFault(deliver(to), "system_unavailable")).detail.retryAfterMs).toBeUndefined();
  });

  test("is not tried where a redirect leads", async () => {
    const elsewhere = system(() => new Response("ok"));
    const there = system(() => Response.redirect(`${elsewhere.url}/orders?token=hidden`, 307));
    const fault = await expectFault(deliver(await plugin(there.url)), "system_unavailable");
    expect(fault.message).toContain(elsewhere.url);
    expect(fault.message).not.toContain("hidden");
    expect(elsewhere.requests).toBeEmpty();
  });

  test("finds nobody there: the system is not available", async () => {
    await expectFault(deliver(await plugin(`http://127.0.0.1:${freePort()}`)), "system_unavailable");
    await expectFault(
      deliver(await plugin(system(() => new Response()).url.replace("http", "https"))),
      "system_unavailable",
    );
  });

  test("whose outcome nobody knows: time-out, connection lost", async () => {
    const hanging = system(() => new Promise<never>(() => undefined));
    const cutting = tcp((socket) => socket.terminate());
    const half = tcp((socket) => {
      socket.write("HTTP/1.1 20");
      socket.flush();
      socket.end();
    });
    for (const url of [hanging.url, cutting, half]) {
      await expectFault(deliver(await plugin(url)), "outcome_unknown");
      await expectFault(deliver(await plugin(url, {}, { keepsIdempotencyKeys: true })), "system_unavailable");
    }
  });

  test("after an unknown outcome none is risked before the system answers something harmless", async () => {
    let hangs = true;
    const there = system(() => (hangs ? new Promise<never>(() => undefined) : new Response("ok")));
    const to = await plugin(there.url);
    await expectFault(deliver(to), "outcome_unknown");
    await expectFault(deliver(to), "system_unavailable");
    await expectFault(deliver(to), "system_unavailable");
    expect(there.posts()).toHaveLength(1);
    hangs = false;
    await deliver(to);
    expect(there.posts()).toHaveLength(2);
  });

  test("stopped while the system thinks has an unknown outcome; stopped before, it was not sent", async () => {
    const stop = new AbortController();
    const there = system(() => {
      stop.abort();
      return new Promise<never>(() => undefined);
    });
    const to = await plugin(there.url, { timeoutMs: 20_000 });
    await expectFault(deliver(to, stop.signal), "outcome_unknown");
    await expectFault(deliver(await plugin(there.url), AbortSignal.abort()), "system_unavailable");
  });

  test("a yes counts although its body breaks off or never ends", async () => {
    const breaking = tcp((socket) => {
      socket.write("HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\nhalf");
      socket.end();
    });
    await deliver(await plugin(breaking));
    const endless = tcp((socket) => void socket.write("HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\nhalf"));
    await deliver(await plugin(endless));
    const huge = system(() => new Response("x".repeat(1_000_000), { status: 200 }));
    await deliver(await plugin(huge.url));
  });

  test("a long answer is cut, and what is secret in it is not shown", async () => {
    const password = 'pa"ss wörd';
    const token = Buffer.from(`user:${password}`).toString("base64");
    const there = system(
      () =>
        new Response(`${password} ${JSON.stringify({ password, token })}\u0000\n${"x".repeat(100_000)}`, {
          status: 422,
        }),
    );
    const to = await plugin(there.url, { auth: { kind: "basic", username: "user", password } });
    const { message: reason } = await expectFault(deliver(to), "refused");
    expect(reason.length).toBeLessThan(500);
    for (const secret of [password, JSON.stringify(password).slice(1, -1), token, "\u0000", "\n"])
      expect(reason).not.toContain(secret);
  });

  test("with a content type that is no header value is refused, not sent", async () => {
    const there = system(() => new Response());
    const to = await plugin(there.url);
    if (to.deliver === undefined) throw new TypeError("takes no messages");
    await expectFault(to.deliver({ ...message, contentType: "text/plain\r\nX-Evil: 1" }, never), "refused");
    expect(there.requests).toBeEmpty();
  });
});

describe("an HTTP configuration", () => {
  const bad: [string, Record<string, unknown>][] = [
    ["a password in the address", { baseUrl: "http://u:p@127.0.0.1/" }],
    ["a query in the address", { baseUrl: "http://127.0.0.1/?x=1" }],
    ["a header of Mercury's own", { down: { path: "/", headers: { "Idempotency-Key": "1" } } }],
    ["another host in a header", { down: { path: "/", headers: { HOST: "other" } } }],
    ["a header that can't be sent", { down: { path: "/", headers: { a: "b\r\nc: d" } } }],
    ["a colon in the user name", { auth: { kind: "basic", username: "a:b", password: "p" } }],
    ["a schedule that is none", { up: { path: "/", schedule: "99 99 * * * *" } }],
  ];
  test.each(bad)("with %s is told to be unusable", async (_what, part) => {
    const here = await world();
    await expectFault(() => here.make("http", { baseUrl: "http://127.0.0.1:1", ...part }), "config");
  });

  test("that does not fit its schema is told by path, without its values", async () => {
    const here = await world();
    const fault = await expectFault(() => here.make("http", { baseUrl: "secret-value" }), "invalid");
    expect(fault.message).toContain("baseUrl");
    expect(fault.message).not.toContain("secret-value");
  });

  test("for a system that the site's list lacks does not start; one whose name is not found now does", async () => {
    const here = await world({ allow: ["erp.example.com:80"], names: {} });
    await expectFault(here.start("http", { baseUrl: "http://127.0.0.1:80" }), "not_allowed_here");
    const there = await world({ allow: ["erp.invalid:80"] });
    await there.start("http", { baseUrl: "http://erp.invalid" });
  });

  test("of an unknown type, or of one for tests where those are not allowed", async () => {
    const here = await world();
    for (const type of ["ftp", "constructor"]) await expectFault(() => here.make(type, {}), "config");
    const { makePlugin } = await import("../../../agent/plugins/index.ts");
    await expectFault(() => makePlugin("noop", {}, here.host), "config");
  });

  test("whose name leads to a link-local address is never called, whenever that happens", async () => {
    const there = system(() => new Response());
    const port = Number(new URL(there.url).port);
    const names: Record<string, string[]> = { "erp.example.com": ["169.254.169.254"] };
    const here = await world({ allow: [`erp.example.com:${port}`], names });
    const to = here.make("http", { baseUrl: `http://erp.example.com:${port}`, down: { path: "/" } });
    await expectFault(deliver(to), "not_allowed_here");
    expect(there.requests).toBeEmpty();
  });
});
