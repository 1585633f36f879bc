import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Bytes, concat, encodeCbor, uint32, utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import type { MuxStream, VerifiedPeer } from "#lib/link";
import { silentLog } from "#lib/log";
import { AnswerReader, encodeHead, encodeOpening, type HttpAnswerHead, readAnswerHead } from "#lib/portal";
import { systemClock } from "#lib/runtime";
import type { DesiredOutlet } from "#lib/session";
import type { Attributes } from "#lib/statement";
import { DrivenClock } from "#support/driven-clock";
import { eventually } from "#support/eventually";
import { type LinkPair, linkPair } from "#support/link-pair";
import { serveTcp, type TestServer } from "#support/tcp-peers";
import { PortalHost } from "../../../agent/portals/portal-host.ts";
import { makeSiteFetch } from "../../../agent/site/site-fetch.ts";
import { makeSiteGuard } from "../../../agent/site/site-guard.ts";

setDefaultTimeout(30_000);

const identifier = (digit: string) => `I${digit.repeat(64)}`;

let pair: LinkPair;
let by: VerifiedPeer;
let service: TestServer;
let host: PortalHost;
let clock: DrivenClock;

/** What came to the service, whole. */
const asked = () => service.connections.map(({ text }) => text).join("|");

beforeEach(async () => {
  pair = await linkPair({ clock: new DrivenClock() });
  by = peer();
  clock = new DrivenClock();
  service = serveTcp({
    data(connection) {
      if (connection.text.includes("/hold")) return;
      if (/\r\n\r\n(?:abc)?$/.test(connection.text) || connection.text.endsWith("0\r\n\r\n"))
        void connection.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-from: service\r\n\r\nok");
    },
  });
  const site = makeSiteGuard(() => ({ allow: [`127.0.0.1:${service.port}`], directories: [] }));
  host = new PortalHost({
    clock: { ...systemClock, monotonic: () => clock.monotonic() },
    log: silentLog,
    site,
    fetch: makeSiteFetch(site, () => ({})),
    wayTo: () => ({}),
    node: () => ({
      identifier: identifier("b"),
      attributes: { role: "gateway", customer_id: "cus_1", backend_access: ["web"] },
    }),
    nexus: () => {
      throw new TypeError("an outlet opens nothing");
    },
    peers: () => ({
      to: () => {
        throw new Fault("forbidden");
      },
      portalsChanged: () => undefined,
    }),
  });
  pair.b.onStream((stream) => void host.taken(stream, by));
});

afterEach(async () => {
  host[Symbol.dispose]();
  service[Symbol.dispose]();
  await Promise.all([pair.a.close("closed"), pair.b.close("closed")]);
});

const portal = (change: Partial<DesiredOutlet> = {}): DesiredOutlet => ({
  end: "outlet",
  id: "prt_1",
  name: "web",
  version: 1,
  enabled: true,
  mode: "e2e",
  protocol: "http",
  connectionsMax: 8,
  target: { host: "127.0.0.1", port: service.port },
  connectTimeoutMs: 1_000,
  nodes: [identifier("a")],
  http: { tls: false, answerTimeoutMs: 5_000 },
  proxyProtocol: false,
  ...change,
});

const peer = (attributes: Attributes = {}) =>
  ({
    identity: { identifier: identifier("a") },
    credential: { attrs: { role: "edge", customer_id: "cus_1", ...attributes } },
  }) as unknown as VerifiedPeer; // what a host looks at of it

/** A stream that says what a test wants, past any inlet. */
async function raw(bytes: Bytes): Promise<MuxStream> {
  const stream = pair.a.open();
  await stream.write(concat(encodeOpening({ portal: "prt_1" }), bytes));
  return stream;
}

/** The head of the answer, or the code of the refusal. */
async function answer(stream: MuxStream): Promise<HttpAnswerHead | string> {
  const reader = new AnswerReader();
  try {
    const source = {
      async read() {
        const piece = await stream.read();
        return piece === null ? null : reader.take(piece);
      },
    };
    return (await readAnswerHead(new Uint8Array(0), source)).head;
  } catch (error) {
    const { code, detail } = error as Fault;
    return String(detail.code ?? code);
  }
}

const head = (change: object = {}) => {
  const body = encodeCbor({ method: "GET", target: "/x", headers: [], bodyBytes: 0, ...change } as never); // what no inlet says, too
  return concat(uint32(body.length), body);
};
const get = (target: string, method = "GET") => encodeHead({ method, target, headers: [["x-a", "1"]], bodyBytes: 0 });

describe("raw streams, past any HTTP inlet", () => {
  beforeEach(() => host.apply([portal()], []));

  test("a good head is served", async () => {
    expect(await answer(await raw(get("/x?y=1")))).toMatchObject({ status: 200, bodyBytes: 2 });
    expect(asked()).toStartWith("GET /x?y=1 HTTP/1.1\r\n");
  });

  test.each([
    ["bytes of a request", utf8("GET /x HTTP/1.1\r\nhost: a\r\n\r\n"), "too_large"],
    ["no CBOR", concat(uint32(3), utf8("abc")), "malformed"],
    ["a line break in a header", head({ headers: [["x-a", "1\r\nx-b: 2"]] }), "malformed"],
    ["a line break in a header's name", head({ headers: [["x-a: 1\r\nx-b", "2"]] }), "malformed"],
    ["a line break in the target", head({ target: "/x HTTP/1.1\r\nx-b: 2\r\n" }), "malformed"],
    ["another server as the target", head({ target: "http://169.254.169.254/" }), "malformed"],
    ["a port before the path", head({ target: ":81/x" }), "malformed"],
    ["a user before the path", head({ target: "@evil/x" }), "malformed"],
    ["a path that means another", head({ target: "/public/../admin" }), "malformed"],
    ["the same, encoded", head({ target: "/public/%2e%2e/admin" }), "malformed"],
    ["the same, with a backslash", head({ target: "/public\\..\\admin" }), "malformed"],
    ["a fragment", head({ target: "/x#y" }), "malformed"],
    ["a line break in the method", head({ method: "GET /y HTTP/1.1\r\n" }), "malformed"],
    ["a body with GET", concat(head({ bodyBytes: 3 }), utf8("abc")), "malformed"],
    ["a negative length", head({ bodyBytes: -1 }), "malformed"],
    ["more members than there are", head({ host: "evil" }), "malformed"],
    ["too many headers", head({ headers: Array.from({ length: 400 }, () => ["x", "y"]) }), "malformed"],
  ])("%s is refused, and reaches no service", async (_, bytes, code) => {
    expect(await answer(await raw(bytes))).toBe(code);
    expect(service.connections.length).toBe(0);
  });

  test("headers of the connection, lengths and hosts of the head's own are not sent", async () => {
    const headers = ["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "expect"];
    const said = await answer(
      await raw(head({ method: "POST", headers: headers.map((name) => [name, "9"]), bodyBytes: 0 })),
    );
    expect(said).toMatchObject({ status: 200 });
    const text = asked().toLowerCase();
    expect(text).toContain(`host: 127.0.0.1:${service.port}\r\n`);
    expect(text.match(/content-length: (.*)/)?.[1]).toBe("0");
    for (const name of ["transfer-encoding", "upgrade", "te: ", "expect"]) expect(text).not.toContain(`\r\n${name}`);
  });

  test("a body of another length than was said ends the request, and its bytes are nobody else's", async () => {
    const short = await raw(
      concat(head({ method: "POST", target: "/hold", bodyBytes: 200_000 }), new Uint8Array(1_000).fill(65)),
    );
    await eventually("it has begun", () => asked().includes("POST"));
    short.end();
    expect(await answer(short)).toBe("malformed");
    await eventually("the service's connection ends", async () => (await service.connections[0]?.closed) !== undefined);
    const long = await raw(concat(head({ method: "POST", bodyBytes: 3 }), utf8("abcGET /smuggled HTTP/1.1\r\n\r\n")));
    expect(await answer(long)).toBe("malformed");
    expect(await answer(await raw(get("/after")))).toMatchObject({ status: 200 });
    expect(asked()).not.toContain("smuggled");
  });

  test("a client that goes away ends the request to the service", async () => {
    const stream = await raw(head({ method: "POST", target: "/hold", bodyBytes: 500_000 }));
    await eventually("it has begun", () => service.connections.length === 1);
    stream.reset("closed");
    expect(await service.connections[0]?.closed).toBeDefined();
  });
});

describe("per request, where it is served", () => {
  const rules = (allow: string) => [{ id: "pol_1", name: "reads", version: 1, rules: [{ name: "rule", allow }] }];

  test("the policy sees method and path, and refuses what it does not allow", async () => {
    const allow = 'request.action == "http" && request.method == "GET" && request.path.startsWith("/public/")';
    await host.apply([portal({ policy: "pol_1" })], rules(allow));
    expect(await answer(await raw(get("/public/x")))).toMatchObject({ status: 200 });
    expect(await answer(await raw(get("/admin")))).toBe("forbidden");
    expect(await answer(await raw(get("/public/x", "DELETE")))).toBe("forbidden");
    expect(asked()).not.toContain("admin");
  });

  test("a request under way ends when its policy does not allow it any more", async () => {
    await host.apply([portal({ policy: "pol_1" })], rules('request.method == "POST"'));
    const stream = await raw(head({ method: "POST", target: "/hold", bodyBytes: 500_000 }));
    await eventually("it has begun", () => service.connections.length === 1);
    await host.apply([portal({ policy: "pol_1" })], rules('request.method == "GET"'));
    expect(await answer(stream)).toBe("forbidden");
    expect(await service.connections[0]?.closed).toBeDefined();
  });

  test("a node gets as many as its rate, then 429's code with the time to wait; others are not concerned", async () => {
    await host.apply([portal()], []);
    by = peer({ rate_limit_rpm: 3 });
    for (let count = 0; count < 3; count++) expect(await answer(await raw(get("/x")))).toMatchObject({ status: 200 });
    expect(await answer(await raw(get("/x")))).toEqual({ code: "limited", retryAfterMs: 20_000 });
    await clock.advance(20_000);
    expect(await answer(await raw(get("/x")))).toMatchObject({ status: 200 });
    expect(await answer(await raw(get("/x")))).toMatchObject({ code: "limited" });
    await host.apply([portal({ protocol: "tcp" })], []);
    expect(await answer(await raw(get("/x")))).toBe("limited");
  });

  test("more requests at a time than the portal allows are refused with a time to wait", async () => {
    await host.apply([portal({ connectionsMax: 1 })], []);
    const open = await raw(head({ method: "POST", target: "/hold", bodyBytes: 500_000 }));
    await eventually("it has begun", () => service.connections.length === 1);
    expect(await answer(await raw(get("/x")))).toMatchObject({ code: "limited" });
    open.reset("closed");
  });
});
