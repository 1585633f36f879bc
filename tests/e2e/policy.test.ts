import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Fault } from "#lib/fault";
import type { Link } from "#lib/link";
import { encodeOpening } from "#lib/portal";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/free-port.ts";
import { Stack } from "../support/stack.ts";
import { TakenStore } from "../support/taken-store.ts";
import { connectTo, serveTcp, type TestConnection, type TestServer } from "../support/tcp-peers.ts";

setDefaultTimeout(60_000);

interface View {
  readonly id: string;
  readonly version: number;
  readonly nodes: readonly { readonly inSync: boolean }[];
}

let stack: Stack;
let echo: TestServer;
let customerId: string;
type Node = Awaited<ReturnType<Stack["addAgent"]>>;
let site: Node;
let backend: Node;
let visitor: Node;

beforeAll(async () => {
  stack = await Stack.start();
  echo = serveTcp();
  site = await stack.addAgent({ name: "site" });
  customerId = site.customerId;
  backend = await stack.addAgent({ name: "backend", customerId, allow: [`127.0.0.1:${echo.port}`] });
  visitor = await stack.addAgent({ name: "visitor", customerId });
});
afterAll(async () => {
  echo?.[Symbol.dispose]();
  await stack?.[Symbol.asyncDispose]();
});

const identifierOf = async ({ agentId }: Node) =>
  (await stack.api.call<{ identifier: string }>("GET", `/agents/${agentId}`)).identifier;

async function policy(name: string, allow: string): Promise<string> {
  const rules = [{ name: "rule", allow }];
  return (await stack.api.call<View>("POST", "/policies", { customerId, name, rules })).id;
}

const change = (id: string, name: string, allow: string) =>
  stack.api.call<View>("PUT", `/policies/${id}`, { name, rules: [{ name: "rule", allow }] });

/** A portal from a node to the echo service at the backend. */
async function portal(name: string, from: Node, policyId: string | null): Promise<{ id: string; port: number }> {
  const port = freePort();
  const { id } = await stack.api.call<View>("POST", "/portals", {
    customerId,
    name,
    inlet: { agentId: from.agentId, listen: { port } },
    outlet: { agentIds: [backend.agentId], target: { host: "127.0.0.1", port: echo.port } },
    policyId,
  });
  await inSync(`/portals/${id}`);
  return { id, port };
}

async function inSync(path: string): Promise<void> {
  await eventually(`${path} is as wanted`, async () => {
    const { nodes } = await stack.api.call<View>("GET", path);
    return nodes.length > 0 && nodes.every((node) => node.inSync);
  });
}

async function connected(port: number): Promise<TestConnection> {
  const connection = await connectTo(port);
  void connection.write("x");
  await eventually("the service has answered", () => connection.receivedBytes > 0, { everyMs: 5 });
  return connection;
}

const lastOf = async (node: Node, name: string) =>
  (await node.site.status()).portals.find((one) => one.name === name)?.last;

test("a change of the policy closes what is open and is not allowed any more; a rollback lets it in again", async () => {
  const id = await policy("edges", 'subject.role == "edge"');
  const { port } = await portal("guarded", site, id);
  const open = await connected(port);
  const beganMs = performance.now();
  await change(id, "edges", 'subject.role == "gateway"');
  expect(await open.closed).toBe("reset");
  expect(performance.now() - beganMs).toBeLessThan(5_000);
  await inSync(`/policies/${id}`);
  const refused = await connectTo(port);
  expect(await refused.closed).toBe("reset");
  expect(await lastOf(site, "guarded")).toMatchObject({ code: "forbidden" });
  const told = await lastOf(backend, "guarded");
  expect(told).toMatchObject({ code: "forbidden", reason: expect.stringContaining("edges") });
  await stack.api.call("POST", `/policies/${id}/rollback`, { version: 1 });
  await inSync(`/policies/${id}`);
  (await connected(port)).end();
});

describe("attributes that change close what they do not allow any more:", () => {
  test.each([
    ["of the node that asks", "subject", () => site],
    ["of the node that serves", "resource.node", () => backend],
  ])("%s", async (what, root, nodeOf) => {
    const { agentId } = nodeOf();
    const name = root.replace(".", "-");
    const id = await policy(name, `${root}.clearance == "high"`);
    /** Sets the attribute and has the node fetch another credential, by a new identity change; its channels go on. */
    const clear = async (clearance: string) => {
      await stack.api.call("PATCH", `/agents/${agentId}`, { attributes: { clearance } });
      await stack.api.call("POST", `/agents/${agentId}/commands`, { command: { name: "rotate" } });
    };
    const { id: portalId, port } = await portal(name, site, id);
    const ask = { subject: { agentId: site.agentId }, resource: { portalId } };
    const told = () => stack.api.call<Record<string, unknown>>("POST", "/policies/test", ask);
    expect(await told(), what).toMatchObject({ allowed: false, rule: "rule", attribute: `${root}.clearance` });
    expect(await (await connectTo(port)).closed).toBe("reset");
    await clear("high");
    expect(await told()).toMatchObject({ allowed: true });
    let open: TestConnection | undefined;
    await eventually("the node shows what it may", async () => {
      const connection = await connectTo(port);
      void connection.write("x");
      await Promise.race([connection.closed, eventually("an answer", () => connection.receivedBytes > 0)]);
      if (connection.receivedBytes > 0) open = connection;
      return open !== undefined;
    });
    await clear("low");
    expect(await open?.closed).toBe("reset");
    expect(await lastOf(backend, name)).toMatchObject({ code: "forbidden" });
  });
});

describe("past the inlet, with all that an agent of the customer has", () => {
  async function codeOf(link: Link, portalId: string): Promise<string> {
    const stream = link.open();
    try {
      await stream.write(encodeOpening({ portal: portalId }));
      const piece = await stream.read();
      stream.reset("closed");
      return piece?.[0] === 1 ? "heard" : "ended";
    } catch (error) {
      return String((error as Fault).detail.code);
    }
  }

  test("a raw stream opens what the policy allows, and nothing else", async () => {
    const me = await identifierOf(visitor);
    const listed = await policy("listed", `subject.identifier in ["${await identifierOf(site)}"]`);
    const all = await policy("everybody", "true");
    const guarded = await portal("listed", site, listed);
    const shared = await portal("shared", site, all);
    const unruled = await portal("unruled", site, null);
    const own = await portal("own", visitor, null); // so that it has a way to the node at all
    await visitor.site.program.stop();
    await stack.online(visitor.agentId, false);
    await using taken = await TakenStore.open(visitor.site);
    const session = await taken.session();
    const link = await taken.channel(session, await identifierOf(backend));
    expect(await codeOf(link, own.id)).toBe("heard");
    expect(await codeOf(link, shared.id)).toBe("heard");
    expect(await codeOf(link, guarded.id)).toBe("forbidden");
    expect(await codeOf(link, unruled.id)).toBe("forbidden");
    expect(await codeOf(link, "prt_none")).toBe("not_found");
    // The very same stream is let in once the policy names the node: it was the policy that kept it out.
    await change(listed, "listed", `subject.identifier == "${me}"`);
    await inSync(`/policies/${listed}`);
    expect(await codeOf(link, guarded.id)).toBe("heard");
    await link.close("closed");
    await session.link.close("closed");
  });
});
