import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { webSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { enrollmentBodyBytesMax } from "#lib/limits";
import { systemClock } from "#lib/runtime";
import { testCertificate } from "../support/certificate.ts";
import { eventually } from "../support/eventually.ts";
import { FakeSession, headerOf, openTunnel } from "../support/fake-agent-tunnel.ts";
import { FakeSolaris } from "../support/fake-solaris.ts";
import { caught, expectFault } from "../support/faults.ts";
import { type OwnBroker, ownBroker, startNexus } from "../support/gateway-harness.ts";
import { needs } from "../support/needs.ts";

setDefaultTimeout(30_000);

const suite = webSuite;
let own: OwnBroker;

beforeAll(async () => {
  own = await ownBroker();
});

afterAll(async () => {
  await own[Symbol.asyncDispose]();
});

const world = async (settings: Parameters<typeof startNexus>[0]["settings"] = {}) => {
  const solaris = await FakeSolaris.create(suite);
  // Revocation lists of other worlds in the same broker are of another authority: only Solaris' own count.
  await own.broker.remove({ kind: "revocations" });
  return { solaris, nexus: await startNexus({ solaris, broker: own.broker, settings }) };
};

async function refusalOf(work: Promise<unknown>): Promise<Readonly<Record<string, unknown>>> {
  const error = await caught(work);
  if (!(error instanceof Fault)) throw error;
  return error.detail;
}

describe("limits before authentication", () => {
  test("refused openings of one address run out; another address goes on", async () => {
    const { solaris, nexus } = await world({ openingsPerAddressPerMinute: 3, trustedProxies: ["127.0.0.1"] });
    await using _ = nexus;
    const stranger = await (await FakeSolaris.create(suite)).addAgent("agt_x");
    const agent = await solaris.addAgent("agt_a");
    const from = (address: string) => ({ headers: { "x-forwarded-for": address, "x-forwarded-proto": "https" } });
    for (let index = 0; index < 5; index++)
      await expectFault(openTunnel(suite, solaris, stranger, nexus.url, from("192.0.2.1")), "wire_lost");
    const answer = await fetch(nexus.url.replace("ws", "http"), {
      headers: {
        ...from("192.0.2.1").headers,
        authorization: await headerOf(suite, agent),
        upgrade: "websocket",
        connection: "upgrade",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
        "sec-websocket-protocol": "mercury.1",
      },
    });
    expect(answer.status).toBe(429);
    expect(answer.headers.get("retry-after")).toBe("60");
    const link = await openTunnel(suite, solaris, agent, nexus.url, from("192.0.2.2"));
    await link.close("closed");
  });

  test("accepted openings of one address do not run out", async () => {
    const { solaris, nexus } = await world({ openingsPerAddressPerMinute: 2 });
    await using _ = nexus;
    const agent = await solaris.addAgent("agt_a");
    for (let index = 0; index < 6; index++) await (await openTunnel(suite, solaris, agent, nexus.url)).close("closed");
  });

  test("past the admission rate an opening is told when to come again, and Solaris is not asked", async () => {
    const { solaris, nexus } = await world({ admissionPerSecond: 2 });
    await using _ = nexus;
    const agent = await solaris.addAgent("agt_a");
    const outcomes = await Promise.all(
      Array.from({ length: 12 }, () =>
        openTunnel(suite, solaris, agent, nexus.url).then(
          () => undefined,
          (error) => error,
        ),
      ),
    );
    const refused = outcomes.flatMap((error) => (error instanceof Fault ? [error.detail] : []));
    expect(refused.length).toBeGreaterThan(5);
    expect(refused.every(({ refusal, retryAfterMs }) => refusal === "limited" && Number(retryAfterMs) > 0)).toBe(true);
    expect(solaris.calls.get("authorize")).toBe(12 - refused.length);
  });

  test("past its sessions a replica says so", async () => {
    const { solaris, nexus } = await world({ sessionsMax: 1 });
    await using _ = nexus;
    const [a, b] = [await solaris.addAgent("agt_a"), await solaris.addAgent("agt_b")];
    const session = await FakeSession.begin(await openTunnel(suite, solaris, a, nexus.url));
    expect((await refusalOf(openTunnel(suite, solaris, b, nexus.url))).refusal).toBe("unavailable");
    await session.link.close("closed");
  });

  test("while Solaris is away no tunnel opens, and what is open lives on", async () => {
    const { solaris, nexus } = await world();
    await using _ = nexus;
    const agent = await solaris.addAgent("agt_a");
    const session = await FakeSession.begin(await openTunnel(suite, solaris, agent, nexus.url));
    solaris.down = true;
    expect((await refusalOf(openTunnel(suite, solaris, agent, nexus.url))).refusal).toBe("unavailable");
    await session.control.send({ type: "refresh" });
    expect((await session.control.until("problem")).code).toBe("unavailable");
    solaris.down = false;
    await session.control.send({ type: "refresh" });
    await session.control.until("credential");
    await session.link.close("closed");
  });
});

describe("ws:// and addresses", () => {
  test("a proxy that is trusted must say that the client came over TLS", async () => {
    const { solaris, nexus } = await world({ trustedProxies: ["127.0.0.0/8"] });
    await using _ = nexus;
    const agent = await solaris.addAgent("agt_a");
    const plain = { headers: { "x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "http" } };
    await expectFault(openTunnel(suite, solaris, agent, nexus.url, plain), "wire_lost");
    const headers = { "x-forwarded-for": "203.0.113.5", "x-forwarded-proto": "https" };
    const session = await FakeSession.begin(await openTunnel(suite, solaris, agent, nexus.url, { headers }));
    const told = await eventually("the digest", () => solaris.digests.flatMap(({ sessions }) => sessions)[0]);
    expect(told.address).toBe("203.0.113.5");
    await session.link.close("closed");
  });
});

needs("openssl", "apt-get install openssl")("TLS of its own", () => {
  test("a tunnel opens over it; who does not trust the certificate gets nothing", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tls-"));
    const { certFile, keyFile } = testCertificate(folder, "gateway", ["gateway.test"]);
    const [cert, key] = [readFileSync(certFile, "utf8"), readFileSync(keyFile, "utf8")];
    rmSync(folder, { recursive: true });
    const solaris = await FakeSolaris.create(suite);
    await own.broker.remove({ kind: "revocations" });
    await using nexus = await startNexus({ solaris, broker: own.broker, tls: { cert, key } });
    expect(nexus.url).toStartWith("wss://");
    const agent = await solaris.addAgent("agt_tls");
    const session = await FakeSession.begin(await openTunnel(suite, solaris, agent, nexus.url, { ca: [cert] }));
    await session.link.close("closed");
    await expectFault(openTunnel(suite, solaris, agent, nexus.url), "wire_lost");
    // A forwarded protocol means nothing where nobody is trusted to forward.
    const headers = { "x-forwarded-proto": "http", "x-forwarded-for": "192.0.2.1" };
    const other = await openTunnel(suite, solaris, agent, nexus.url, { ca: [cert], headers });
    await other.close("closed");
  });
});

describe("enrollment", () => {
  test("the authority's chain and sealed requests are passed on", async () => {
    const { solaris, nexus } = await world();
    await using _ = nexus;
    const shown = await (await fetch(`${nexus.origin}/enroll`)).json();
    expect(shown.authority).toBeString();
    for (let index = 0; index < 20; index++) await fetch(`${nexus.origin}/enroll`);
    expect(solaris.calls.get("authority")).toBe(1);
    const post = (body: unknown) =>
      fetch(`${nexus.origin}/enroll`, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) });
    expect(await (await post({ request: "sealed" })).json()).toEqual({ answer: "sealed for 127.0.0.1" });
    const refused = await post({ request: "bad" });
    expect(refused.status).toBe(401);
    expect(await refused.json()).toMatchObject({ code: "token_invalid" });
    expect((await post("no json")).status).toBe(400);
    expect((await post({ other: 1 })).status).toBe(400);
    expect((await post({ request: "x".repeat(enrollmentBodyBytesMax) })).status).toBe(413);
  });

  test("a flood of one address is limited", async () => {
    const { nexus } = await world({ openingsPerAddressPerMinute: 2 });
    await using _ = nexus;
    const post = () => fetch(`${nexus.origin}/enroll`, { method: "POST", body: JSON.stringify({ request: "x" }) });
    const statuses = [(await post()).status, (await post()).status, (await post()).status];
    expect(statuses).toEqual([200, 200, 429]);
  });
});

describe("health", () => {
  test("is alive at once, ready with credential and list, and counts", async () => {
    const solaris = await FakeSolaris.create(suite);
    solaris.down = true;
    await own.broker.remove({ kind: "revocations" });
    await using nexus = await startNexus({ solaris, broker: own.broker, early: true });
    expect((await fetch(`${nexus.origin}/healthz`)).status).toBe(200);
    expect((await fetch(`${nexus.origin}/readyz`)).status).toBe(503);
    solaris.down = false;
    await nexus.nexus.ready;
    expect(await (await fetch(`${nexus.origin}/readyz`)).json()).toEqual({ ready: true });
    const metrics = await (await fetch(`${nexus.origin}/metrics`)).text();
    expect(metrics).toContain("nexus_sessions 0");
  });

  test("admits nobody when the revocation list could not be checked for 5 s", async () => {
    const { solaris, nexus } = await world();
    await using _ = nexus;
    const agent = await solaris.addAgent("agt_a");
    // The broker names a list that nobody can show: its newest is not held.
    const claimed = { ...(await solaris.revocations()), number: 99 };
    await own.broker.put({ kind: "revocations" }, new TextEncoder().encode(JSON.stringify(claimed)));
    await eventually("not ready", async () => (await fetch(`${nexus.origin}/readyz`)).status === 503);
    expect((await refusalOf(openTunnel(suite, solaris, agent, nexus.url))).refusal).toBe("unavailable");
    solaris.number = 99;
    await eventually("ready", async () => (await fetch(`${nexus.origin}/readyz`)).status === 200);
  }, 20_000);

  test("metrics leave the public listener when there is another", async () => {
    const { nexus } = await world({ publicMetrics: false });
    await using _ = nexus;
    expect((await fetch(`${nexus.origin}/metrics`)).status).toBe(404);
    const own = await nexus.nexus.management(new Request("http://localhost/metrics"));
    expect(await own.text()).toContain("nexus_openings_total");
  });
});

describe("drain", () => {
  test("asks agents to go elsewhere, admits nobody, gives lanes back, ends", async () => {
    const { solaris, nexus } = await world();
    const other = await startNexus({ solaris, broker: own.broker });
    const agent = await solaris.addAgent("agt_drain");
    const first = await FakeSession.begin(await openTunnel(suite, solaris, agent, nexus.url, { slot: 0 }));
    const away = new Promise<string>((resolve) => first.link.onGoaway(resolve));
    const drained = nexus.nexus.drain();
    expect(await away).toBe("draining");
    expect((await fetch(`${nexus.origin}/readyz`)).status).toBe(503);
    const refused = await refusalOf(openTunnel(suite, solaris, agent, nexus.url));
    expect(refused.refusal).toBe("draining");
    expect(Number(refused.retryAfterMs)).toBeGreaterThan(0);
    const second = await FakeSession.begin(await openTunnel(suite, solaris, agent, other.url, { slot: 1 }));
    await first.link.close("closed"); // moved: the drain does not wait longer
    await drained;
    expect(await own.broker.get({ kind: "node", replica: nexus.nexus.identifier })).toBeUndefined();
    await second.link.close("closed");
    await nexus[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
  });

  test("a replica whose lease stands, but which answers no more, keeps nobody waiting", async () => {
    const { solaris, nexus } = await world({ drainMs: 60_000 });
    await own.broker.put({ kind: "node", replica: `I${"ab".repeat(32)}` }, new Uint8Array(1)); // killed a moment ago
    const agent = await solaris.addAgent("agt_widowed");
    const session = await FakeSession.begin(await openTunnel(suite, solaris, agent, nexus.url));
    const from = systemClock.monotonic();
    await nexus[Symbol.asyncDispose]();
    expect(systemClock.monotonic() - from).toBeLessThan(5_000); // the lease stands for 15 s
    expect((await session.link.closed).code).toBe("draining");
  });

  test("waits while another replica admits agents, and no longer", async () => {
    const { solaris, nexus } = await world({ drainMs: 60_000 });
    const other = await startNexus({ solaris, broker: own.broker });
    const agent = await solaris.addAgent("agt_waiting");
    const session = await FakeSession.begin(await openTunnel(suite, solaris, agent, nexus.url));
    let ended = false;
    void session.link.closed.then(() => {
      ended = true;
    });
    const from = systemClock.monotonic();
    const drained = nexus.nexus.drain();
    await eventually("two seconds", () => systemClock.monotonic() - from > 2_000);
    expect(ended).toBe(false);
    await other[Symbol.asyncDispose](); // now there is nobody left to go to
    await drained;
    expect((await session.link.closed).code).toBe("draining");
    await nexus[Symbol.asyncDispose]();
  });

  test("does not wait for sessions that have nowhere to go", async () => {
    const { solaris, nexus } = await world({ drainMs: 60_000 });
    const agent = await solaris.addAgent("agt_alone");
    const session = await FakeSession.begin(await openTunnel(suite, solaris, agent, nexus.url));
    await nexus[Symbol.asyncDispose]();
    expect((await session.link.closed).code).toBe("draining");
  });
});
