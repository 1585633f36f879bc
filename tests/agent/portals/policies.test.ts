import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Fault } from "#lib/fault";
import type { MuxStream, VerifiedPeer } from "#lib/link";
import { silentLog } from "#lib/log";
import { encodeOpening } from "#lib/portal";
import { systemClock } from "#lib/runtime";
import type { DesiredPolicy, DesiredPortal } from "#lib/session";
import type { Attributes } from "#lib/statement";
import { DrivenClock } from "#support/driven-clock";
import { eventually } from "#support/eventually";
import { type MuxPair, muxPair } from "#support/mux-pair";
import { serveTcp, type TestServer } from "#support/tcp-peers";
import { PortalHost } from "../../../agent/portals/portal-host.ts";
import { makeSiteFetch } from "../../../agent/site/site-fetch.ts";
import { makeSiteGuard } from "../../../agent/site/site-guard.ts";

setDefaultTimeout(30_000);

const identifier = (digit: string) => `I${digit.repeat(64)}`;
const own = { role: "gateway", customer_id: "cus_1", zone: "blue", backend_access: ["*"] };

let pair: MuxPair;
let service: TestServer;
let host: PortalHost;
let node: Attributes;

beforeEach(() => {
  pair = muxPair(new DrivenClock());
  service = serveTcp();
  node = own;
  const site = makeSiteGuard(() => ({ allow: [`127.0.0.1:${service.port}`], directories: [] }));
  host = new PortalHost({
    clock: systemClock,
    log: silentLog,
    site,
    fetch: makeSiteFetch(site, () => ({})),
    wayTo: () => ({}),
    node: () => ({ identifier: identifier("b"), attributes: node }),
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
});
afterEach(() => {
  host[Symbol.dispose]();
  service[Symbol.dispose]();
});

const portal = (id: string, policy?: string, nodes: string[] = []): DesiredPortal => ({
  end: "outlet",
  id,
  name: id,
  version: 1,
  enabled: true,
  mode: "e2e",
  protocol: "tcp",
  connectionsMax: 8,
  target: { host: "127.0.0.1", port: service.port },
  connectTimeoutMs: 1_000,
  proxyProtocol: false,
  nodes,
  ...(policy === undefined ? {} : { policy }),
});
const policy = (allow: string, version = 1): DesiredPolicy => ({
  id: "pol_1",
  name: "who",
  version,
  rules: [{ name: "rule", allow }],
});

const peer = (attributes: Attributes = {}, digit = "a") =>
  ({
    identity: { identifier: identifier(digit) },
    credential: { attrs: { role: "edge", customer_id: "cus_1", ...attributes } },
  }) as unknown as VerifiedPeer; // what a host looks at of it

/** A stream past any inlet, to this portal, by this node. Resolves with the first byte of the answer, or the code of the refusal. */
async function open(portalId: string, by: VerifiedPeer): Promise<{ stream: MuxStream; said: number | string }> {
  const stream = pair.a.mux.open();
  void stream.write(encodeOpening({ portal: portalId })).catch(() => undefined);
  pair.run();
  const taken = pair.b.opened.at(-1);
  if (taken === undefined) throw new TypeError("nothing was opened");
  void host.taken(taken, by);
  return { stream, said: await answer(stream) };
}

async function answer(stream: MuxStream): Promise<number | string> {
  let said: number | string | undefined;
  stream.read().then(
    (piece) => {
      said = piece?.[0] ?? "fin";
    },
    (error: Fault) => {
      said = String(error.detail.code);
    },
  );
  await eventually("the stream was answered", () => {
    pair.run();
    return said !== undefined;
  });
  return said ?? "";
}

/** The code that what is open was ended with. */
async function endOf(stream: MuxStream): Promise<number | string> {
  for (;;) {
    const said = await answer(stream);
    if (typeof said === "string") return said;
  }
}

describe("a stream past the inlet", () => {
  test("is opened for whom the policy of the portal allows, named or not, and for nobody else", async () => {
    await host.apply([portal("db", "pol_1", [identifier("c")])], [policy('subject.tier == "gold"')]);
    expect((await open("db", peer({ tier: "gold" }))).said).toBe(1);
    expect((await open("db", peer({ tier: "tin" }))).said).toBe("forbidden");
    expect((await open("db", peer())).said).toBe("forbidden");
    expect((await open("db", peer({}, "c"))).said).toBe("forbidden"); // the portal names it; the policy does not allow it
    expect((await open("db", peer({ tier: "gold", customer_id: "cus_2" }))).said).toBe("forbidden");
    expect((await open("none", peer({ tier: "gold" }))).said).toBe("not_found");
  });

  test("is opened for nodes that the portal names where it has no policy", async () => {
    await host.apply([portal("db", undefined, [identifier("c")])], []);
    expect((await open("db", peer({}, "c"))).said).toBe(1);
    expect((await open("db", peer())).said).toBe("forbidden");
    expect((await open("db", peer({ customer_id: "cus_2" }, "c"))).said).toBe("forbidden");
    node = {};
    expect((await open("db", peer({}, "c"))).said).toBe("forbidden"); // whose it is can't be said
  });
});

describe("what is open ends with a code", () => {
  test("when the policy does not allow it any more, and stays when it does", async () => {
    await host.apply([portal("db", "pol_1")], [policy('subject.role == "edge"')]);
    const { stream: goes } = await open("db", peer({ tier: "tin" }));
    const { stream: stays } = await open("db", peer({ tier: "gold" }, "c"));
    await host.apply([portal("db", "pol_1")], [policy('subject.tier == "gold"', 2)]);
    expect(await endOf(goes)).toBe("forbidden");
    void stays.write(new Uint8Array([9]));
    let echoed: number | string = 0;
    while (echoed !== 9) {
      echoed = await answer(stays);
      expect(echoed).toBeNumber();
    }
    await host.apply([portal("db", "pol_1")], [policy("false", 3)]);
    expect(await endOf(stays)).toBe("forbidden");
  });

  test("when the node at the other end, or this one, has other attributes", async () => {
    await host.apply([portal("db", "pol_1")], [policy("subject.zone == resource.node.zone")]);
    const { stream: first } = await open("db", peer({ zone: "blue" }));
    const { stream: second } = await open("db", peer({ zone: "blue" }, "c"));
    host.renewed(peer({ zone: "red" }, "d")); // of somebody else
    host.renewed(peer({ zone: "red" }));
    expect(await endOf(first)).toBe("forbidden");
    node = { ...own, zone: "green" };
    host.judgeAll();
    expect(await endOf(second)).toBe("forbidden");
  });

  test("when the portal comes to name a policy, or another node", async () => {
    await host.apply([portal("db", undefined, [identifier("a")])], []);
    const { stream } = await open("db", peer());
    await host.apply([portal("db", "pol_1", [identifier("a")])], [policy("false")]);
    expect(await endOf(stream)).toBe("forbidden");
    await host.apply([portal("db", undefined, [identifier("a")])], []);
    const { stream: other } = await open("db", peer());
    await host.apply([portal("db", undefined, [identifier("c")])], []);
    expect(await endOf(other)).toBe("forbidden");
  });
});

describe("a policy that can't be used closes what names it, and nothing else", () => {
  test.each([
    ["can't be compiled", [policy("subject.future(5)", 2)]],
    ["is not there", []],
  ])("one that %s", async (_, policies) => {
    const both = [portal("db", "pol_1"), portal("files", undefined, [identifier("a")])];
    await host.apply(both, [policy("true")]);
    const { stream } = await open("db", peer());
    const { stream: beside } = await open("files", peer());
    const items = await host.apply(both, policies);
    expect(await endOf(stream)).toBe("forbidden");
    expect((await open("db", peer())).said).toBe("not_found");
    expect((await open("files", peer())).said).toBe(1);
    expect(items).toContainEqual(
      expect.objectContaining({ kind: "portal", name: "db", actual: 0, state: "failed", code: "invalid" }),
    );
    expect(items).toContainEqual(expect.objectContaining({ kind: "portal", name: "files", state: "applied" }));
    const told = items.find(({ kind }) => kind === "policy");
    expect(told).toMatchObject(
      policies.length === 0
        ? { state: "removed", actual: 0 }
        : { state: "failed", actual: 0, wanted: 2, code: "invalid", reason: expect.stringContaining("future") },
    );
    expect(host.status().find(({ name }) => name === "db")).toMatchObject({ state: "failed" });
    await host.apply(both, [policy("true", 3)]);
    expect((await open("db", peer())).said).toBe(1);
    host[Symbol.dispose]();
    expect(await endOf(beside)).toBe("closed");
  });

  test("is reported as applied with its version when it is", async () => {
    const items = await host.apply([portal("db", "pol_1")], [policy("true", 7)]);
    expect(items).toContainEqual({ kind: "policy", name: "who", actual: 7, wanted: 7, state: "applied" });
  });
});
