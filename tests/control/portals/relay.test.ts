import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ControlWorld, type TestAgent } from "#support/control-world";

let world: ControlWorld;
let site: TestAgent;
let backend: TestAgent;
let stranger: TestAgent;
let session: { agentId: string; slot: 0 | 1; epoch: number };
let portalId: string;

beforeAll(async () => {
  world = await ControlWorld.start();
  const { id } = await world.customer();
  const { id: other } = await world.customer("Other");
  [site, backend, stranger] = [await world.enrolled(id), await world.enrolled(id), await world.enrolled(other)];
  const { slot, epoch } = await site.open();
  session = { agentId: site.id, slot, epoch };
  const { json } = await world.api("POST", "/portals", {
    customerId: id,
    name: "db",
    inlet: { agentId: site.id, listen: { port: 15_432 } },
    outlet: { agentIds: [backend.id], target: { host: "db", port: 5_432 } },
  });
  portalId = json.id;
});
afterAll(() => world[Symbol.asyncDispose]());

const relay = (to: string, from: object = session) => world.nexus("POST", "relay", { ...from, to });

describe("a wire", () => {
  test("is for two nodes that a portal joins, in either direction", async () => {
    const { status, json } = await relay(backend.identifier);
    expect(status).toBe(200);
    expect(json.agentId).toBe(backend.id);
    const { slot, epoch } = await backend.open();
    const back = await relay(site.identifier, { agentId: backend.id, slot, epoch });
    expect(back.json.agentId).toBe(site.id);
  });

  test("to a node of another customer is as to none", async () => {
    expect((await relay(stranger.identifier)).json.code).toBe("not_found");
    expect((await relay(`I${"0".repeat(64)}`)).json.code).toBe("not_found");
  });

  test("without a portal, or with one that is switched off, is refused", async () => {
    const { json: agent } = await world.api("GET", `/agents/${site.id}`);
    const third = await world.enrolled(agent.customerId);
    expect((await relay(third.identifier)).json.code).toBe("forbidden");
    const { json: portal } = await world.api("GET", `/portals/${portalId}`);
    const { name, inlet, outlet } = portal;
    const change = (enabled: boolean) => world.api("PUT", `/portals/${portalId}`, { name, inlet, outlet, enabled });
    expect((await change(false)).status).toBe(200);
    expect((await relay(backend.identifier)).json.code).toBe("forbidden");
    await change(true);
    expect((await relay(backend.identifier)).status).toBe(200);
  });

  test("is not for a session that is not the slot's newest", async () => {
    expect((await relay(backend.identifier, { ...session, epoch: session.epoch + 1 })).json.code).toBe("displaced");
    expect((await relay(backend.identifier, { ...session, agentId: "agt_nobody" })).json.code).toBe("displaced");
  });
});

describe("a connection that ends in Nexus", () => {
  const target = { host: "db.cloud", port: 5_432 };
  const outlet = (portal: string, from: object = session) => world.nexus("POST", "outlet", { ...from, portal });
  let customerId: string;
  let terminated: string;

  beforeAll(async () => {
    ({ customerId } = (await world.api("GET", `/agents/${site.id}`)).json);
    terminated = await make("terminated");
  });

  async function make(name: string, change: object = {}): Promise<string> {
    const inlet = { agentId: site.id, listen: { port: 15_433 } };
    const body = { customerId, name, mode: "terminated", inlet, outlet: { target }, ...change };
    return (await world.api("POST", "/portals", body)).json.id;
  }

  test("is for the node of its inlet, and says where it leads", async () => {
    const { status, json } = await outlet(terminated);
    expect(status).toBe(200);
    expect(json).toMatchObject({ customerId, mode: "terminated", target, nodes: [site.identifier], policy: null });
    const of = async (agent: TestAgent) => {
      const { slot, epoch } = await agent.open();
      return outlet(terminated, { agentId: agent.id, slot, epoch });
    };
    expect((await of(backend)).json.code).toBe("not_found");
    expect((await of(stranger)).json.code).toBe("not_found");
    expect((await outlet(terminated, { ...session, epoch: session.epoch + 1 })).json.code).toBe("displaced");
  });

  test("is not for a portal of another mode, one that is switched off or deleted, or where the customer requires e2e", async () => {
    expect((await outlet(portalId)).json.code).toBe("forbidden"); // e2e
    expect((await outlet("prt_none")).json.code).toBe("not_found");
    expect((await outlet(await make("off", { enabled: false }))).json.code).toBe("not_found");
    const gone = await make("gone");
    expect((await outlet(gone)).status).toBe(200);
    await world.api("DELETE", `/portals/${gone}`);
    expect((await outlet(gone)).json.code).toBe("not_found");
    await world.api("PATCH", `/customers/${customerId}`, { requireE2e: true });
    expect((await outlet(terminated)).json.code).toBe("forbidden");
    await world.api("PATCH", `/customers/${customerId}`, { requireE2e: false });
    expect((await outlet(terminated)).status).toBe(200);
  });

  test("comes with the portal's policy, which Nexus judges by", async () => {
    const rules = [{ name: "edge", allow: "subject.role == 'edge'" }];
    const { json: policy } = await world.api("POST", "/policies", { customerId, name: "edges", rules });
    const { json } = await outlet(await make("judged", { policyId: policy.id }));
    expect(json.policy).toMatchObject({ id: policy.id, rules });
  });
});
