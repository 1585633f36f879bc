import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { concat, utf8 } from "#lib/bytes";
import type { Fault } from "#lib/fault";
import type { MuxStream, VerifiedPeer } from "#lib/link";
import { silentLog } from "#lib/log";
import { encodeOpening } from "#lib/portal";
import { systemClock } from "#lib/runtime";
import type { DesiredPortal } from "#lib/session";
import { DrivenClock } from "#support/driven-clock";
import { type LinkPair, linkPair } from "#support/link-pair";
import { serveTcp, type TestServer } from "#support/tcp-peers";
import { PortalHost } from "../../../agent/portals/portal-host.ts";
import { makeSiteFetch } from "../../../agent/site/site-fetch.ts";
import { makeSiteGuard } from "../../../agent/site/site-guard.ts";

const customer = "acme";
let pair: LinkPair;
let echo: TestServer;
let host: PortalHost;
let allow: string[];
let served: { backend_access?: string[] };
let portal: Extract<DesiredPortal, { end: "outlet" }>;

beforeEach(async () => {
  pair = await linkPair({ clock: new DrivenClock() });
  echo = serveTcp();
  served = { backend_access: ["*"] };
  allow = [`127.0.0.1:${echo.port}`];
  const site = makeSiteGuard(() => ({ allow, directories: [] }));
  host = new PortalHost({
    clock: systemClock,
    log: silentLog,
    site,
    fetch: makeSiteFetch(site, () => ({})),
    wayTo: () => ({}),
    node: () => ({ identifier: pair.nexus.own.identity.identifier, attributes: { customer_id: customer, ...served } }),
    nexus: () => {
      throw new TypeError("an outlet opens nothing");
    },
    peers: () => ({
      to: () => {
        throw new TypeError("an outlet opens nothing");
      },
      portalsChanged: () => undefined,
    }),
  });
  portal = {
    end: "outlet",
    id: "prt_1",
    name: "echo",
    version: 1,
    enabled: true,
    mode: "e2e",
    protocol: "tcp",
    connectionsMax: 2,
    target: { host: "127.0.0.1", port: echo.port },
    connectTimeoutMs: 1_000,
    proxyProtocol: false,
    nodes: [pair.edge.own.identity.identifier],
  };
  await host.apply([portal]);
  pair.b.onStream((stream) => void host.taken(stream, peer()));
});

afterEach(async () => {
  host[Symbol.dispose]();
  echo[Symbol.dispose]();
  await Promise.all([pair.a.close("closed"), pair.b.close("closed")]);
});

/** Who is at the other end, as the handshake proved it. */
function peer(change: Record<string, string> = {}): VerifiedPeer {
  const { identity, credential } = pair.b.peer;
  return {
    identity,
    credential: { ...credential, attrs: { ...credential.attrs, ...change } },
    authorityExtended: false,
  };
}

/** A stream that says what a test wants, past any inlet. */
async function raw(bytes: Uint8Array<ArrayBuffer>): Promise<MuxStream> {
  const stream = pair.a.open();
  await stream.write(bytes);
  return stream;
}

async function codeOf(stream: MuxStream): Promise<string> {
  try {
    while ((await stream.read()) !== null);
    return "ended";
  } catch (error) {
    return String((error as Fault).detail.code);
  }
}

async function text(stream: MuxStream, length: number): Promise<string> {
  let all = new Uint8Array(0);
  while (all.length < length) {
    const piece = await stream.read();
    if (piece === null) break;
    all = concat(all, piece);
  }
  return Buffer.from(all).toString("latin1");
}

describe("raw streams, past any inlet", () => {
  test("a good opening with bytes behind it is served: heard, connected, then what the service says", async () => {
    const stream = await raw(concat(encodeOpening({ portal: "prt_1" }), utf8("hello")));
    expect(await text(stream, 7)).toBe("\x01\x02hello");
    stream.end();
    expect(await stream.read()).toBeNull();
  });

  test("what is no opening is reset, and reaches no service", async () => {
    expect(await codeOf(await raw(new Uint8Array([0xff, 0xff, 1])))).toBe("too_large");
    expect(await codeOf(await raw(new Uint8Array([0, 1, 0xff])))).toBe("malformed");
    const cut = await raw(new Uint8Array([0, 50, 1, 2]));
    cut.end();
    expect(await codeOf(cut)).toBe("malformed");
    expect(echo.connections).toEqual([]);
  });

  test("an opening one byte at a time is as good", async () => {
    const stream = pair.a.open();
    for (const byte of concat(encodeOpening({ portal: "prt_1" }), utf8("x")))
      await stream.write(new Uint8Array([byte]));
    expect(await text(stream, 3)).toBe("\x01\x02x");
    stream.reset("closed");
  });

  test("a portal that is not here, or is switched off, is not found", async () => {
    expect(await codeOf(await raw(encodeOpening({ portal: "prt_2" })))).toBe("not_found");
    await host.apply([{ ...portal, enabled: false }]);
    expect(await codeOf(await raw(encodeOpening({ portal: "prt_1" })))).toBe("not_found");
  });

  test("a node that the portal does not name, or of another customer, is refused at every stream", async () => {
    await host.apply([{ ...portal, nodes: [`I${"0".repeat(64)}`] }]);
    expect(await codeOf(await raw(encodeOpening({ portal: "prt_1" })))).toBe("forbidden");
    await host.apply([portal]);
    pair.b.onStream((stream) => void host.taken(stream, peer({ customer_id: "other" })));
    expect(await codeOf(await raw(encodeOpening({ portal: "prt_1" })))).toBe("forbidden");
    expect(echo.connections).toEqual([]);
  });

  test("a node serves what backend_access of its own credential names; without it nothing", async () => {
    served = { backend_access: ["other"] };
    expect(await codeOf(await raw(encodeOpening({ portal: "prt_1" })))).toBe("forbidden");
    served = {};
    expect(await codeOf(await raw(encodeOpening({ portal: "prt_1" })))).toBe("forbidden");
    expect(echo.connections).toEqual([]);
    served = { backend_access: ["other", "echo"] };
    const stream = await raw(encodeOpening({ portal: "prt_1" }));
    expect(await text(stream, 2)).toBe("\x01\x02");
    served = { backend_access: ["other"] };
    host.judgeAll(); // its credential was renewed
    expect(await codeOf(stream)).toBe("forbidden");
  });

  test("an outlet that is pinned takes nobody else, whoever the portal names or a policy allows", async () => {
    const own = pair.edge.own.identity.identifier;
    const policies = [
      { id: "pol_1", name: "all", version: 1, rules: [{ name: "all", allow: "subject.customer_id == 'acme'" }] },
    ];
    await host.apply([{ ...portal, policy: "pol_1", pins: [`I${"0".repeat(64)}`] }], policies);
    expect(host.names(own)).toBe(false);
    expect(await codeOf(await raw(encodeOpening({ portal: "prt_1" })))).toBe("identity_unexpected");
    expect(echo.connections).toEqual([]);
    await host.apply([{ ...portal, policy: "pol_1", pins: [own] }], policies);
    expect(host.names(own)).toBe(true);
    const stream = await raw(encodeOpening({ portal: "prt_1" }));
    expect(await text(stream, 2)).toBe("\x01\x02");
    await host.apply([{ ...portal, policy: "pol_1", pins: [`I${"0".repeat(64)}`] }], policies);
    expect(await codeOf(stream)).toBe("identity_unexpected");
  });

  test("the site's list is looked at every time", async () => {
    const first = await raw(encodeOpening({ portal: "prt_1" }));
    expect(await text(first, 2)).toBe("\x01\x02");
    allow = [];
    expect(await codeOf(await raw(encodeOpening({ portal: "prt_1" })))).toBe("not_allowed_here");
    first.reset("closed");
  });

  test("more connections than the portal allows are refused, until one ends", async () => {
    const open = [await raw(encodeOpening({ portal: "prt_1" })), await raw(encodeOpening({ portal: "prt_1" }))];
    for (const stream of open) expect(await text(stream, 2)).toBe("\x01\x02");
    expect(await codeOf(await raw(encodeOpening({ portal: "prt_1" })))).toBe("limited");
    open[0]?.reset("closed");
    await echo.connections[0]?.closed;
    const again = await raw(encodeOpening({ portal: "prt_1" }));
    expect(await text(again, 2)).toBe("\x01\x02");
    for (const stream of [open[1], again]) stream?.reset("closed");
  });

  test("what is open ends when the portal names the node no more, or its credential says something else", async () => {
    const first = await raw(encodeOpening({ portal: "prt_1" }));
    expect(await text(first, 2)).toBe("\x01\x02");
    host.renewed(peer());
    host.renewed(peer({ customer_id: "other" }));
    expect(await codeOf(first)).toBe("forbidden");
    const second = await raw(encodeOpening({ portal: "prt_1" }));
    expect(await text(second, 2)).toBe("\x01\x02");
    await host.apply([{ ...portal, version: 2 }]);
    await second.write(utf8("still"));
    expect(await text(second, 5)).toBe("still");
    await host.apply([{ ...portal, version: 3, nodes: [] }]);
    expect(await codeOf(second)).toBe("forbidden");
  });

  test("a portal that goes ends what it serves", async () => {
    const stream = await raw(encodeOpening({ portal: "prt_1" }));
    expect(await text(stream, 2)).toBe("\x01\x02");
    await host.apply([]);
    expect(await codeOf(stream)).toBe("closed");
    expect(await echo.connections[0]?.closed).toBe("reset");
  });
});
